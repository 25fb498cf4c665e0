"""Locations of the stored parts of patches: plain arrays, from the index and the manifest, without a file.

A part of a patch is one record in a tar, or one inner chunk of each of three Zarr arrays. Parts are numbered through
the index: number = row · parts + part.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shards.errors import InvalidValue
from shards.metadata.index import PARTS, Index
from shards.metadata.manifest import Manifest
from shards.storage.base import FileEntry, Ranges


@dataclass(frozen=True, slots=True, eq=False)
class Extents:
    """The stored parts of all patches, as a structure of arrays.

    Attributes:
        file: (n,) int32, number of the file that holds each part, see `files_of`.
        offset: (n,) int64 bytes, where it begins there.
        length: (n,) int32 bytes.
        crc32c: (n,) uint32, checksum of these bytes.
        begin: (parts,) int64, first value of each part of a patch in a record.
        end: (parts,) int64, its last value + 1, where the next part begins.
    """

    file: NDArray[np.int32]
    offset: NDArray[np.int64]
    length: NDArray[np.int32]
    crc32c: NDArray[np.uint32]
    begin: NDArray[np.int64]
    end: NDArray[np.int64]

    @classmethod
    def of(cls, manifest: Manifest, index: Index) -> "Extents":
        """Return the extents of a store.

        Raises:
            CorruptShard: the index does not fit the manifest.
        """
        parts = PARTS[manifest.format]
        shard = index.shard_numbers(manifest)
        offset, length, crc32c = (
            np.stack([index.column(f"{part}_{what}") for part in parts], axis=1).ravel()
            for what in ("offset", "length", "crc32c")
        )
        return cls(
            (shard[:, None] * len(parts) + np.arange(len(parts))).ravel().astype(np.int32),
            offset,
            length,
            crc32c,
            np.array([values.start for values in parts.values()]),
            np.array([values.stop for values in parts.values()]),
        )

    @property
    def parts(self) -> int:
        """Parts of a patch."""
        return len(self.begin)

    def rows(self, indices: ArrayLike) -> NDArray[np.int64]:
        """Return rows of the index that a caller gave, (n,) int64.

        Raises:
            InvalidValue: they are no integers.
            IndexError: one is out of range.
        """
        rows, count = np.asarray(indices), len(self.file) // self.parts
        if rows.size and rows.dtype.kind not in "iu":
            raise InvalidValue(f"rows are of type {rows.dtype}, expected integers")
        if rows.size and (rows.min() < 0 or rows.max() >= count):
            raise IndexError(f"rows {rows.min()} to {rows.max()} of a store of {count}")
        return rows.astype(np.int64, copy=False)

    def numbers(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the numbers of the parts of rows, (n · parts,) int64, patch by patch."""
        return (rows[:, None] * self.parts + np.arange(self.parts)).ravel()

    def ranges(self, rows: NDArray[np.int64]) -> Ranges:
        """Return the ranges of bytes of the parts of rows, patch by patch."""
        numbers = self.numbers(rows)
        return Ranges(numbers, self.file[numbers], self.offset[numbers], self.length[numbers].astype(np.int64))

    def shard(self, rows: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the shards of rows by their numbers in the manifest, (n,) int32."""
        return self.file[rows * self.parts] // np.int32(self.parts)


def files_of(manifest: Manifest) -> list[FileEntry]:
    """Return the files that hold the parts of patches, in the order of their numbers.

    The first files of each shard hold one part each, so number = shard · parts + part.
    """
    num_parts = len(PARTS[manifest.format])
    return [FileEntry(info.path, info.size_bytes) for shard in manifest.shards for info in shard.files[:num_parts]]
