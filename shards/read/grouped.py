"""Records that are decoded several in a call.

For one call the interpreter takes as long as copying a tenth of a patch, and holds its lock meanwhile.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from shards.layout.bands import RECORD_BYTES

ROWS: Final = 4
"""Patches that a thread decodes in one call."""


class Grouped(Protocol):
    """Where the records of n patches are."""

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
    """Uncompressed records in memory.

    Attributes:
        memories: of each piece of a patch, patch by patch, the bytes that hold it.
        begin: of each piece, its first byte there.
        end: its last one + 1; all of its bytes are there.
    """

    memories: list[NDArray[np.uint8]]
    begin: list[int]
    end: list[int]

    def decode(self, out: NDArray[np.uint16], starts: Iterator[int]) -> None:
        """See `Grouped`; there is nothing that could be damaged."""
        values = out.view(np.uint8).reshape(-1)
        parts = len(self.memories) // len(out)
        for start in starts:
            pieces = slice(start * parts, (start + ROWS) * parts)
            places = zip(self.memories[pieces], self.begin[pieces], self.end[pieces], strict=True)
            np.concatenate(
                [memory[begin:end] for memory, begin, end in places],
                out=values[start * RECORD_BYTES : (start + ROWS) * RECORD_BYTES],
            )


DecodeOne = Callable[[int, NDArray[np.uint16]], None]
"""Decodes patch i of n into (1, 80000) by itself, and raises CorruptShard with what is wrong with it."""


@dataclass(frozen=True)
class PackedInMemory:
    """Records of codec `bitpack` in memory.

    Attributes:
        owners: what keeps the bytes where they are.
        addresses: (n,) uint64, where each record begins.
        lengths: (n,) int64, its bytes, all of which are there.
        decode_one: for a record that cannot be decoded.
    """

    owners: list[object]
    addresses: NDArray[np.uint64]
    lengths: NDArray[np.int64]
    decode_one: DecodeOne

    def decode(self, out: NDArray[np.uint16], starts: Iterator[int]) -> None:
        """See `Grouped`."""
        from shards.codec.bitpack.decoder import decode_rows

        def decode(rows: slice) -> int:
            done: int = decode_rows(self.addresses[rows], self.lengths[rows], out[rows])
            return done

        _decode_groups(decode, self.decode_one, out, starts)


@dataclass(frozen=True)
class PackedInFiles:
    """Records of codec `bitpack` in files.

    Attributes:
        descriptors: (n,) int64, of the file of each record.
        offsets: (n,) int64, where it begins there.
        lengths: (n,) int64, its bytes.
        decode_one: for a record that cannot be read or decoded.
    """

    descriptors: NDArray[np.int64]
    offsets: NDArray[np.int64]
    lengths: NDArray[np.int64]
    decode_one: DecodeOne

    def decode(self, out: NDArray[np.uint16], starts: Iterator[int]) -> None:
        """See `Grouped`."""
        from shards.codec.bitpack.decoder import read_rows

        scratch = np.empty(self.lengths.max(initial=0), np.uint8)

        def decode(rows: slice) -> int:
            done: int = read_rows(self.descriptors[rows], self.offsets[rows], self.lengths[rows], out[rows], scratch)
            return done

        _decode_groups(decode, self.decode_one, out, starts)


@dataclass(frozen=True)
class Checked:
    """Records in memory that are compared with their checksums just before they are decoded, while the cache has them.

    Attributes:
        records: where they are.
        check: compares those of the group that begins with a patch; raises CorruptShard.
    """

    records: Grouped
    check: Callable[[int], None]

    def decode(self, out: NDArray[np.uint16], starts: Iterator[int]) -> None:
        """See `Grouped`."""

        def checked() -> Iterator[int]:
            for start in starts:
                self.check(start)
                yield start

        self.records.decode(out, checked())


def _decode_groups(
    decode: Callable[[slice], int], decode_one: DecodeOne, out: NDArray[np.uint16], starts: Iterator[int]
) -> None:
    """Decode groups with a function that says how many of a group it has done before one that it cannot do."""
    for start in starts:
        end = min(start + ROWS, len(out))
        while (start := start + decode(slice(start, end))) < end:
            decode_one(start, out[start : start + 1])
            start += 1
