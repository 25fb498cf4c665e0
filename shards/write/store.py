"""Writing a whole store in one process."""

import os
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType

from shards.codec.registry import DEFAULT_CODEC
from shards.errors import InUse, InvalidValue
from shards.layout.bands import LAYOUT
from shards.layout.record import RecordGroup
from shards.metadata.entries import SPLITS, ShardInfo
from shards.metadata.manifest import MANIFEST, Manifest, StoreFormat
from shards.storage.atomic import make_folder
from shards.storage.remote.address import place_of
from shards.write.contents import WORK, look
from shards.write.finish import finish_store
from shards.write.options import StoreOptions
from shards.write.shard import ShardWriter


class StoreWriter:
    """Writes a store; a context manager, by whose end the store is finished, or all that it has written is deleted.

        with StoreWriter("DIR", seed=7) as store:
            with store.shard("train", 0) as shard:
                shard.add(facts, record)

    Patches belong in the order of `shards.layout.shuffle.shuffle_rank`, in full shards but for the last of each split.
    Shards may be written in any order, and several at a time by threads. Several processes need no `StoreWriter`: each
    writes shards with `ShardWriter`, and one of them ends with `finish_store`.

    Attributes:
        options: of the store.
        manifest: of the finished store; None before.
    """

    manifest: Manifest | None

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        format: StoreFormat = "webdataset",  # noqa: A002 (its name in manifests)
        codec: str = DEFAULT_CODEC,
        patches_per_shard: int = 2048,
        groups: Sequence[RecordGroup] = (),
        seed: int = 0,
        source_version: str = "v2",
        source_bytes: int = 0,
        left_out: dict[str, int] | None = None,
        offset: str = "none",
        synthetic: bool = False,
        labels43: bool = False,
    ) -> None:
        """Prepare to write a store; nothing is made before the block begins.

        Args:
            folder: new or empty.
            format: `webdataset` or `zarr`.
            codec: name of the record codec.
            patches_per_shard: patches of a full shard.
            groups: what each patch has beside its Sentinel-2 record.
            seed: of the shuffle.
            source_version: version of BigEarthNet, `v1` or `v2`.
            source_bytes: bytes of the band files that the patches came from.
            left_out: patches of the source that are not in the store, by reason.
            offset: `auto` if the radiometric offset of newer products was subtracted, else `none`.
            synthetic: the patches were drawn by chance.
            labels43: the index has the column `labels43`, which each patch then needs.

        Raises:
            InvalidValue: the format does not hold records of that codec, a shard would hold no patch, or there can be
                no such groups.
        """
        layout = LAYOUT.with_groups(groups)
        self.options = StoreOptions(place_of(folder), format, codec, patches_per_shard, layout, labels43=labels43)
        self.manifest = None
        self._seed, self._source_version, self._source_bytes = seed, source_version, source_bytes
        self._left_out, self._offset, self._synthetic = left_out or {}, offset, synthetic
        self._shards: dict[str, ShardInfo] = {}

    def __enter__(self) -> "StoreWriter":
        folder = self.options.folder
        make_folder(folder)
        if any(folder.iterdir()):
            raise InvalidValue(f"{folder} is not empty; name a new folder")
        try:
            self.options.work.mkdir()
        except FileExistsError:
            raise InUse(f"{folder} is in use by another writer") from None
        return self

    def shard(self, split: str, number: int) -> ShardWriter:
        """Return the writer of a shard, to be used as a context manager.

        Raises:
            InvalidValue: there is no such split, the number is negative, or the shard is written already.
        """

        def committed(info: ShardInfo) -> None:
            self._shards[info.name] = info

        writer = ShardWriter(self.options, split, number, committed=committed)
        if writer.name in self._shards:
            raise InvalidValue(f"shard {writer.name} is written already")
        return writer

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if err is None:
                self.manifest = finish_store(
                    self.options,
                    sorted(self._shards.values(), key=_place),
                    source_version=self._source_version,
                    seed=self._seed,
                    source_bytes=self._source_bytes,
                    left_out=self._left_out,
                    offset=self._offset,
                    synthetic=self._synthetic,
                )
        finally:
            self._remove("" if self.manifest is None else f"{WORK}/")

    def _remove(self, below: str) -> None:
        """Remove what was written, as far as its path begins so, and the folders that are empty then."""
        folder = self.options.folder
        found = look(folder, self.options.format, 1 << 62, self.options.layout)
        # The manifest first: what is left of a store is none.
        for path in sorted([*found.files, *found.temporaries], key=lambda path: path != MANIFEST):
            if path.startswith(below):
                (folder / path).unlink(missing_ok=True)
        for path in reversed(found.folders):
            if f"{path}/".startswith(below):
                with suppress(OSError):
                    (folder / path).rmdir()


def _place(shard: ShardInfo) -> tuple[int, int]:
    return SPLITS.index(shard.split), int(shard.name.rpartition("-")[2])
