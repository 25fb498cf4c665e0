"""Writing one shard: what a worker does. Its result is small; pixels never leave the worker."""

import errno
import gc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import IO, Final, Protocol

import numpy as np
from crc32c import crc32c
from numpy.typing import NDArray

from bigearth_pipeline.build.contents import note_paths, shard_paths
from bigearth_pipeline.build.note import ShardOptions, ShardResult, write_note
from bigearth_pipeline.build.plan import PatchEntry, ShardPlan
from bigearth_pipeline.build.select import Quarantined
from bigearth_pipeline.errors import BadPatch
from bigearth_pipeline.source.fingerprint import annotation_statuses, fingerprint
from bigearth_pipeline.source.georeference import Georeference
from bigearth_pipeline.source.offset import count_missing, subtract_offset
from bigearth_pipeline.source.tiff.reader import TiffReader
from shards.codec.base import Codec
from shards.codec.registry import get_codec
from shards.container.tar import TarShardWriter
from shards.layout.classes import label_bytes
from shards.layout.fields import NAMES, Facts, json_member
from shards.layout.statistics import Histograms, histogram_table
from shards.metadata.index import PARTS, IndexRows, Place, write_table
from shards.metadata.manifest import FileInfo, ShardInfo
from shards.storage.atomic import atomic_write

PROGRESS_EVERY: Final = 64  # patches


class _Writer(Protocol):
    """Takes patches one by one."""

    def add(self, facts: Facts, record: NDArray[np.uint16]) -> list[Place]:
        """Write a patch; return offset, length and CRC-32C of each of its stored parts."""

    def finish(self) -> None:
        """Write what comes behind the last patch."""

    def files(self) -> tuple[FileInfo, ...]:
        """Describe the finished files."""


def write_shard(plan: ShardPlan, options: ShardOptions, progress: Callable[[int], None]) -> ShardResult:
    """Read the patches of a shard and write it, unless one of them is bad.

    With a bad patch the others are still read, so that one run finds all bad ones, but nothing is written.

    Args:
        plan: the shard.
        options: what all shards have in common.
        progress: called with a number of patches done since the last call.

    Raises:
        OSError: the store cannot be written to.
    """
    if not options.work.is_dir():
        # Made anew it would hold a part of a store.
        raise FileNotFoundError(errno.ENOENT, "the folder was removed while the build runs", str(options.work))
    histograms = Histograms()
    # Their content was read when the shard was planned, and is part of the plan.
    annotations = annotation_statuses((entry.key, entry.folder) for entry in plan.entries)
    rows = IndexRows(options.format, plan.name)
    bad: list[Quarantined] = []
    with _no_garbage_collection(), TiffReader() as reader, _open_writer(plan, options) as (writer, keep):
        for done, entry in enumerate(plan.entries, 1):
            record = histograms.next_record()
            try:
                georeference = reader.read_patch(entry.folder, entry.key, record)
                nodata_pixels = count_missing(record)
            except BadPatch as err:
                bad.append(Quarantined(entry.key, entry.folder, str(err)))
            else:
                if not bad:
                    if entry.harmonise:
                        subtract_offset(record, entry.baseline)
                    facts = facts_of(entry, georeference, nodata_pixels)
                    rows.add(facts, writer.add(facts, record))
                    histograms.commit()
            if done % PROGRESS_EVERY == 0:
                progress(PROGRESS_EVERY)
        progress(len(plan.entries) % PROGRESS_EVERY)
        if bad:
            return ShardResult(None, tuple(bad), reader.bytes_read)
        writer.finish()
        keep()
    info = ShardInfo(plan.name, plan.split, len(plan.entries), writer.files())
    _, index, histogram = note_paths(options.work, plan.name)
    write_table(rows.table(), index)
    write_table(histogram_table(histograms.counts()), histogram)
    result = ShardResult(info, (), reader.bytes_read, fingerprint(reader.statuses, annotations))
    # Written last: this file says that the shard is done.
    write_note(plan, options, result)
    return result


def facts_of(entry: PatchEntry, georeference: Georeference, nodata_pixels: int) -> Facts:
    """Return what is known of a patch once its pixels are read: by name, so that nothing here depends on an order."""
    known = entry._asdict() | asdict(georeference)
    known |= {"date": datetime.fromisoformat(entry.date), "nodata_pixels": nodata_pixels}
    return Facts(**{name: known[name] for name in NAMES})


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Spare the search for cycles, of which a shard makes none; it takes a twentieth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def _open_writer(plan: ShardPlan, options: ShardOptions) -> Iterator[tuple[_Writer, Callable[[], None]]]:
    """Open the files of a shard; they appear under their names only if `keep` is called and no error follows."""
    try:
        with ExitStack() as stack:
            kept = False

            def keep() -> None:
                nonlocal kept
                kept = True

            def open_file(relative: str) -> IO[bytes]:
                path = options.out / relative
                path.parent.mkdir(parents=True, exist_ok=True)
                return stack.enter_context(atomic_write(path))

            codec = get_codec(options.codec)
            yield (_TarWriter if options.format == "webdataset" else _ZarrWriter)(plan, options, codec, open_file), keep
            if not kept:
                raise _Discarded
    except _Discarded:
        pass


class _Discarded(Exception):
    """Ends `atomic_write` without keeping the file."""


class _TarWriter:
    """Patches into one tar."""

    def __init__(
        self, plan: ShardPlan, options: ShardOptions, codec: Codec, open_file: Callable[[str], IO[bytes]]
    ) -> None:
        self._codec = codec
        self._out = options.out
        self._tar_path, self._index_path = shard_paths("webdataset", plan.split, plan.number)
        self._tar = TarShardWriter(open_file(self._tar_path))

    def add(self, facts: Facts, record: NDArray[np.uint16]) -> list[Place]:
        encoded = self._codec.encode(record)
        offset = self._tar.add(facts.key, encoded, label_bytes(facts.label_mask), json_member(facts))
        return [Place(offset, len(encoded), crc32c(encoded))]

    def finish(self) -> None:
        self._tar.finish()

    def files(self) -> tuple[FileInfo, ...]:
        index = self._tar.write_index(self._out / self._index_path, self._index_path)
        return (self._tar.tar_info(self._tar_path), index)


class _ZarrWriter:
    """Patches into one Zarr shard of each array."""

    def __init__(
        self, plan: ShardPlan, options: ShardOptions, codec: Codec, open_file: Callable[[str], IO[bytes]]
    ) -> None:
        # Imported here: tars are written without zarr, whose import takes most of a second.
        from shards.container.zarr import ZarrShardWriter

        self._codec = codec
        paths = shard_paths("zarr", plan.split, plan.number)
        self._arrays = [
            (values, path, ZarrShardWriter(open_file(path), options.patches_per_shard))
            for values, path in zip(PARTS["zarr"].values(), paths, strict=True)
        ]

    def add(self, facts: Facts, record: NDArray[np.uint16]) -> list[Place]:
        places = []
        for values, _, array in self._arrays:
            chunk = self._codec.encode(record[values])
            places.append(Place(array.add(chunk), len(chunk), crc32c(chunk)))
        return places

    def finish(self) -> None:
        for _, _, array in self._arrays:
            array.finish()

    def files(self) -> tuple[FileInfo, ...]:
        return tuple(array.file_info(path) for _, path, array in self._arrays)
