"""Codec `bitpack`: predicted pixels and the bits by which they differ, for whole records.

Encoder and decoder are imported where they are used: numba, which compiles them, takes half a second.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards.errors import CorruptShard
from shards.layout.bands import RECORD_BYTES, RECORD_VALUES


@dataclass(frozen=True, slots=True)
class Bitpack:
    """Predicted pixels and the bits by which they differ (`shards.codec.bitpack.decoder`)."""

    name: str = "bitpack"
    is_whole: bool = True
    is_identity: bool = False

    def lengths(self, size_bytes: int) -> tuple[int, int]:
        """See `Codec`."""
        # Coefficients, widths and padding; a value takes 16 bits at most.
        return 5_030, 5_030 + size_bytes

    def encode(self, values: NDArray[Any]) -> bytes:
        """See `Codec`.

        Raises:
            ValueError: the array is not a whole record.
        """
        from shards.codec.bitpack.encoder import encode

        if values.shape != (RECORD_VALUES,):
            raise ValueError(f"bitpack encodes records, expected shape ({RECORD_VALUES},), got {values.shape}")
        return encode(values)

    def decode_into(self, data: Any, out: NDArray[Any]) -> None:
        """See `Codec`."""
        from shards.codec.bitpack.decoder import decode

        if out.nbytes != RECORD_BYTES or not decode(np.frombuffer(data, np.uint8), out.reshape(-1).view(np.uint16)):
            raise CorruptShard(
                f"holds {len(data)} bytes, expected as many as its header says for {RECORD_VALUES} values"
            )

    def decode_in_memory(
        self,
        addresses: NDArray[np.uint64],
        lengths: NDArray[np.int64],
        sizes: NDArray[np.int64],
        out: NDArray[np.uint8],
    ) -> int:
        """See `DecodeInMemory`."""
        from shards.codec.bitpack.decoder import decode_rows

        done: int = decode_rows(addresses, lengths, out.view(np.uint16).reshape(len(sizes), RECORD_VALUES))
        return done

    def decode_from_files(
        self,
        descriptors: NDArray[np.int64],
        offsets: NDArray[np.int64],
        lengths: NDArray[np.int64],
        sizes: NDArray[np.int64],
        out: NDArray[np.uint8],
        scratch: NDArray[np.uint8],
    ) -> int:
        """See `DecodeFromFiles`."""
        from shards.codec.bitpack.decoder import read_rows

        records = out.view(np.uint16).reshape(len(sizes), RECORD_VALUES)
        done: int = read_rows(descriptors, offsets, lengths, records, scratch)
        return done
