"""Records that lie in memory already and are decoded several in a call.

The interpreter takes as long for a call as copying a tenth of a patch, and holds its lock meanwhile.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from shards.bands import RECORD_BYTES

ROWS: Final = 4
"""Patches that a thread decodes in one call."""


class RecordsInMemory(Protocol):
    """Where the records of n patches lie."""

    def decode(self, out: NDArray[np.uint16], starts: Iterator[int]) -> None:
        """Decode patches, without the interpreter lock.

        Args:
            out: C-contiguous uint16 of shape (n, 80000).
            starts: first patches of groups of `ROWS`.

        Raises:
            CorruptShard: a record is damaged.
        """


@dataclass(frozen=True)
class RawRecords:
    """Uncompressed records.

    Attributes:
        memories: of each piece of a patch, patch by patch, the bytes that hold it.
        begin: of each piece, its first byte there.
        end: its last one + 1; all of its bytes are there.
    """

    memories: list[NDArray[np.uint8]]
    begin: list[int]
    end: list[int]

    def decode(self, out: NDArray[np.uint16], starts: Iterator[int]) -> None:
        """See `RecordsInMemory`; there is nothing that could be damaged."""
        values = out.view(np.uint8).reshape(-1)
        parts = len(self.memories) // len(out)
        for start in starts:
            pieces = slice(start * parts, (start + ROWS) * parts)
            places = zip(self.memories[pieces], self.begin[pieces], self.end[pieces], strict=True)
            np.concatenate(
                [memory[begin:end] for memory, begin, end in places],
                out=values[start * RECORD_BYTES : (start + ROWS) * RECORD_BYTES],
            )


@dataclass(frozen=True)
class PackedRecords:
    """Records of the codec `bitpack`.

    Attributes:
        owners: what keeps the bytes where they are.
        addresses: (n,) uint64, where each record begins.
        lengths: (n,) int64, its bytes, all of which are there.
        damaged: makes the error for a record that is not as long as its own header says.
    """

    owners: list[object]
    addresses: NDArray[np.uint64]
    lengths: NDArray[np.int64]
    damaged: Callable[[int], Exception]

    def decode(self, out: NDArray[np.uint16], starts: Iterator[int]) -> None:
        """See `RecordsInMemory`."""
        from shards.bitpack import decode_rows

        for start in starts:
            rows = slice(start, start + ROWS)
            done = start + decode_rows(self.addresses[rows], self.lengths[rows], out[rows])
            if done < min(rows.stop, len(out)):
                raise self.damaged(done)
