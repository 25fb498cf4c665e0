"""Codec `raw`: the values themselves."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards.errors import CorruptShard


@dataclass(frozen=True, slots=True)
class Raw:
    """The values themselves."""

    name: str = "raw"
    is_whole: bool = False
    is_identity: bool = True
    decode_in_memory: None = None
    decode_from_files: None = None

    def lengths(self, size_bytes: int) -> tuple[int, int]:
        """See `Codec`."""
        return size_bytes, size_bytes

    def encode(self, values: NDArray[Any]) -> bytes:
        """See `Codec`."""
        return values.tobytes()

    def decode_into(self, data: Any, out: NDArray[Any]) -> None:
        """See `Codec`."""
        if len(data) != out.nbytes:
            raise CorruptShard(f"holds {len(data)} bytes, expected {out.nbytes}")
        np.copyto(out.reshape(-1).view(np.uint8), np.frombuffer(data, np.uint8))
