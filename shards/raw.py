"""Uncompressed records that lie in memory already, copied several at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shards.bands import RECORD_BYTES

ROWS: Final = 4
"""Patches that a thread copies in one call: the interpreter takes as long for one as copying a tenth of a patch."""


@dataclass(frozen=True)
class RawRecords:
    """Where the pieces of n patches lie, patch by patch.

    Attributes:
        memories: of each piece, the bytes that hold it.
        begin: of each piece, its first byte there.
        end: its last one + 1; all of its bytes are there.
    """

    memories: list[NDArray[np.uint8]]
    begin: list[int]
    end: list[int]

    def copy(self, out: NDArray[np.uint16], starts: Iterator[int]) -> None:
        """Copy patches, without the interpreter lock.

        Args:
            out: C-contiguous uint16 of shape (n, 80000).
            starts: first patches of groups of `ROWS`.
        """
        values = out.view(np.uint8).reshape(-1)
        parts = len(self.memories) // len(out)
        for start in starts:
            pieces = slice(start * parts, (start + ROWS) * parts)
            places = zip(self.memories[pieces], self.begin[pieces], self.end[pieces], strict=True)
            np.concatenate(
                [memory[begin:end] for memory, begin, end in places],
                out=values[start * RECORD_BYTES : (start + ROWS) * RECORD_BYTES],
            )
