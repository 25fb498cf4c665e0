"""Reading the patches of one shard and writing it: what a worker does. Its result is small; pixels stay with it."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from operator import attrgetter
from typing import Final

from bigearth_pipeline.build.earlier_shards import ShardResult, made_of
from bigearth_pipeline.build.plan import PatchEntry, ShardPlan
from bigearth_pipeline.build.select import Quarantined
from bigearth_pipeline.errors import BadPatch
from bigearth_pipeline.source.fingerprint import annotation_statuses, fingerprint
from bigearth_pipeline.source.georeference import Georeference
from bigearth_pipeline.source.offset import count_missing, subtract_offset
from bigearth_pipeline.source.tiff.ahead import ReadAhead
from bigearth_pipeline.source.tiff.reader import TiffReader
from shards.layout.facts import NAMES, Facts
from shards.metadata.entries import ShardInfo
from shards.write.options import StoreOptions
from shards.write.shard import ShardWriter

_OF_ENTRY: Final = tuple(name for name in NAMES if name in PatchEntry._fields and name != "date")
_values_of: Final = attrgetter(*_OF_ENTRY)


def write_shard(plan: ShardPlan, options: StoreOptions, progress: Callable[[int], None]) -> ShardResult:
    """Read the patches of a shard and write it, unless one of them is bad.

    With a bad patch the others are still read, so that one run finds all bad ones, but nothing is written.

    Args:
        plan: the shard.
        options: what all shards have in common.
        progress: called with a number of patches done since the last call.

    Raises:
        OSError: the store cannot be written to.
    """
    # Their content was read when the shard was planned, and is part of the plan.
    annotations = annotation_statuses((entry.key, entry.folder) for entry in plan.entries)
    bad: list[Quarantined] = []
    source = ""
    with (
        no_garbage_collection(),
        TiffReader() as reader,
        ReadAhead(reader, [(entry.folder, entry.key) for entry in plan.entries]) as patches,
        ShardWriter(options, plan.split, plan.number) as shard,
    ):
        for number, entry in enumerate(plan.entries):
            record = shard.next_record()
            try:
                georeference = patches.read(number, record)
                nodata_pixels = count_missing(record)
            except BadPatch as err:
                bad.append(Quarantined(entry.key, entry.folder, str(err)))
            else:
                if not bad:
                    if entry.harmonise:
                        subtract_offset(record, entry.baseline)
                    shard.add(facts_of(entry, georeference, nodata_pixels), record)
            progress(1)
        if bad:
            shard.discard()
        else:
            source = fingerprint(reader.statuses, annotations)
            shard.made_of = made_of(plan, reader.bytes_read, source)
    send(options, shard.info, progress)
    return ShardResult(shard.info, tuple(bad), reader.bytes_read, source)


def send(options: StoreOptions, info: ShardInfo | None, progress: Callable[[int], None]) -> None:
    """Send a shard that is written to the address of its store, if that has one.

    Args:
        options: what all shards have in common.
        info: the shard; None if nothing was written.
        progress: called with 0 as parts of it are sent, and ends that if the shard is not needed any more.

    Raises:
        OSError: it cannot be sent.
    """
    if options.address is not None and info is not None:
        # Imported here: a build into a folder needs none of it.
        from shards.write.publish import publish_shard

        publish_shard(options, info, lambda: progress(0))


def facts_of(entry: PatchEntry, georeference: Georeference, nodata_pixels: int) -> Facts:
    """Return what is known of a patch once its pixels are read: by name, so that nothing here depends on an order."""
    return Facts(
        **dict(zip(_OF_ENTRY, _values_of(entry), strict=True)),
        date=datetime.fromisoformat(entry.date),
        epsg=georeference.epsg,
        ulx=georeference.ulx,
        uly=georeference.uly,
        nodata_pixels=nodata_pixels,
    )


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Spare the search for cycles, of which a shard makes none; it takes a twentieth of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
