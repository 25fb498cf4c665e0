"""Locations of the stored parts of patches: plain arrays, from the index and the manifest, without a file.

A part of a patch is a member of a tar, or an inner chunk of a Zarr array (`shards.metadata.parts`). Parts are numbered
through the index: number = row · parts of a patch + part.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shards.layout.record import S2
from shards.metadata.index import Index
from shards.metadata.manifest import Manifest
from shards.metadata.parts import PARTS, num_data_files
from shards.storage.base import FileEntry, Ranges
from shards.text.kinds import row_numbers


@dataclass(frozen=True, slots=True, eq=False)
class Extents:
    """The stored parts of all patches, as a structure of arrays, and a choice of those that make a record or a group.

    Attributes:
        file: (n,) int32, number of the file that holds each part, see `files_of`.
        offset: (n,) int64 bytes, where it begins there.
        length: (n,) int32 bytes.
        crc32c: (n,) uint32, checksum of these bytes.
        name: of the record or the group.
        begin: (parts,) int64, first byte of each of its parts in it, decoded.
        end: (parts,) int64, the last byte + 1, where the next part begins.
        first: number of its first part among all parts of a patch.
        stride: all parts of a patch.
        shard_files: files of a shard that hold parts.
    """

    file: NDArray[np.int32]
    offset: NDArray[np.int64]
    length: NDArray[np.int32]
    crc32c: NDArray[np.uint32]
    name: str
    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    first: int
    stride: int
    shard_files: int

    @classmethod
    def of(cls, manifest: Manifest, index: Index) -> "Extents":
        """Return the extents of a store, of which those of the Sentinel-2 record are chosen.

        Raises:
            CorruptShard: the index does not fit the manifest.
        """
        parts, files = manifest.parts, num_data_files(manifest.format, manifest.layout)
        shard = index.shard_numbers(manifest)
        offset, length, crc32c = (
            np.stack([index.column(f"{part.name}_{what}") for part in parts], axis=1).ravel()
            for what in ("offset", "length", "crc32c")
        )
        ends = np.cumsum([part.size_bytes for part in parts[: len(PARTS[manifest.format])]])
        return cls(
            (shard[:, None] * files + np.array([part.file for part in parts])).ravel().astype(np.int32),
            offset,
            length,
            crc32c,
            S2,
            np.concatenate([[0], ends[:-1]]),
            ends,
            first=0,
            stride=len(parts),
            shard_files=files,
        )

    def of_group(self, manifest: Manifest, name: str) -> "Extents":
        """Return the same extents, of which those of a further group are chosen."""
        (number,) = (i for i, part in enumerate(manifest.parts) if part.name == name)
        ends = np.array([manifest.parts[number].size_bytes])
        return replace(self, name=name, begin=np.zeros(1, np.int64), end=ends, first=number)

    @property
    def parts(self) -> int:
        """Parts of the record or the group."""
        return len(self.begin)

    def rows(self, indices: ArrayLike) -> NDArray[np.int64]:
        """Return rows of the index that a caller gave, (n,) int64.

        Raises:
            InvalidValue: they are no integers.
            IndexError: one is out of range.
        """
        return row_numbers(indices, len(self.file) // self.stride)

    def numbers(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the numbers of the parts of rows, (n · parts,) int64, patch by patch."""
        return (rows[:, None] * self.stride + np.arange(self.first, self.first + self.parts)).ravel()

    def ranges(self, rows: NDArray[np.int64]) -> Ranges:
        """Return the ranges of bytes of the parts of rows, patch by patch."""
        numbers = self.numbers(rows)
        return Ranges(numbers, self.file[numbers], self.offset[numbers], self.length[numbers].astype(np.int64))

    def all(self) -> Ranges:
        """Return the ranges of bytes of all parts of all patches, by number."""
        return Ranges(np.arange(len(self.file)), self.file, self.offset, self.length.astype(np.int64))

    def shard(self, rows: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the shards of rows by their numbers in the manifest, (n,) int32."""
        return self.file[rows * self.stride] // np.int32(self.shard_files)


def files_of(manifest: Manifest) -> list[FileEntry]:
    """Return the files that hold the parts of patches, in the order of their numbers.

    They are the first files of each shard, so number = shard · files of a shard that hold parts + file.
    """
    count = num_data_files(manifest.format, manifest.layout)
    return [FileEntry(info.path, info.size_bytes) for shard in manifest.shards for info in shard.files[:count]]
