"""The files of one shard in either container: encoded records go in, their offsets come out."""

from collections.abc import Callable, Sequence
from typing import IO, Protocol

from shards.container.tar import TarShardWriter
from shards.layout.classes import label_bytes
from shards.layout.facts import Facts, json_member
from shards.metadata.entries import FileInfo
from shards.write.contents import shard_paths
from shards.write.options import StoreOptions

OpenFile = Callable[[str], IO[bytes]]
"""Opens a new file by its path within the store."""


class ShardFiles(Protocol):
    """The open files of a shard."""

    def add(self, facts: Facts, parts: Sequence[bytes | memoryview]) -> list[int]:
        """Append a patch: what is known of it, and its encoded parts; return the offset of each part in its file."""

    def finish(self) -> None:
        """Write what follows the last patch."""

    def describe(self) -> tuple[FileInfo, ...]:
        """Describe the files, once all of them are closed, and write those that follow from them."""


class TarFiles:
    """A tar and its DALI index."""

    def __init__(self, options: StoreOptions, split: str, number: int, open_file: OpenFile) -> None:
        self._folder = options.folder
        self._extensions = [group.name for group in options.layout.extras]
        self._path, self._index_path = shard_paths("webdataset", split, number, options.layout)
        self._tar = TarShardWriter(open_file(self._path))

    def add(self, facts: Facts, parts: Sequence[bytes | memoryview]) -> list[int]:
        """See `ShardFiles`."""
        record, *groups = parts
        further = list(zip(self._extensions, groups, strict=True))
        return self._tar.add(facts.key, record, label_bytes(facts.label_mask), json_member(facts), further)

    def finish(self) -> None:
        """See `ShardFiles`."""
        self._tar.finish()

    def describe(self) -> tuple[FileInfo, ...]:
        """See `ShardFiles`."""
        index = self._tar.write_index(self._folder / self._index_path, self._index_path)
        return (self._tar.tar_info(self._path), index)


class ZarrFiles:
    """A Zarr shard of each pixel array. Facts are stored by the split, once all shards are there."""

    def __init__(self, options: StoreOptions, split: str, number: int, open_file: OpenFile) -> None:
        # Imported here: tars are written without zarr, whose import takes most of a second.
        from shards.container.zarr import ZarrShardWriter

        self._arrays = [
            (path, ZarrShardWriter(open_file(path), options.patches_per_shard))
            for path in shard_paths("zarr", split, number, options.layout)
        ]

    def add(self, facts: Facts, parts: Sequence[bytes | memoryview]) -> list[int]:
        """See `ShardFiles`."""
        return [array.add(chunk) for (_, array), chunk in zip(self._arrays, parts, strict=True)]

    def finish(self) -> None:
        """See `ShardFiles`."""
        for _, array in self._arrays:
            array.finish()

    def describe(self) -> tuple[FileInfo, ...]:
        """See `ShardFiles`."""
        return tuple(array.file_info(path) for path, array in self._arrays)


def open_shard_files(options: StoreOptions, split: str, number: int, open_file: OpenFile) -> ShardFiles:
    """Open the files of a shard in the container of a store."""
    return (TarFiles if options.format == "webdataset" else ZarrFiles)(options, split, number, open_file)
