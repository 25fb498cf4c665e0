"""Writing a shard from records that a pass has spooled: what a worker does once all patches are known."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bigearth_pipeline.build.archive.spool import SpoolPlace, SpoolReader
from bigearth_pipeline.build.earlier_shards import ShardResult, made_of
from bigearth_pipeline.build.plan import ShardPlan
from bigearth_pipeline.build.task import facts_of, no_garbage_collection, send
from bigearth_pipeline.errors import PipelineError
from shards.codec.registry import get_codec
from shards.errors import CorruptShard
from shards.metadata.parts import PARTS
from shards.write.options import StoreOptions
from shards.write.shard import ShardWriter


@dataclass(frozen=True, slots=True)
class SpooledPlan(ShardPlan):
    """A shard whose records are spooled.

    Attributes:
        spool: folder of the spool files.
        places: of the record of each entry.
    """

    spool: Path
    places: tuple[SpoolPlace, ...]

    def source_now(self) -> str:
        """See `ShardPlan`: it follows from the checksums of the records, so from their content."""
        hash_ = hashlib.blake2b(digest_size=8)
        for place in self.places:
            hash_.update(place.crc32c.to_bytes(4, "little"))
        return hash_.hexdigest()


def write_spooled(plan: SpooledPlan, options: StoreOptions, progress: Callable[[int], None]) -> ShardResult:
    """Write a shard from its spooled records.

    Args:
        plan: the shard.
        options: what all shards have in common.
        progress: called with a number of patches done since the last call.

    Raises:
        PipelineError: a record is damaged.
        OSError: the spool cannot be read, or the store not be written to.
    """
    codec, slices = get_codec(options.codec), tuple(PARTS[options.format].values())
    bytes_read = 0
    with (
        no_garbage_collection(),
        SpoolReader(plan.spool) as spool,
        ShardWriter(options, plan.split, plan.number) as shard,
    ):
        for entry, place in zip(plan.entries, plan.places, strict=True):
            spooled = spool.read(place)
            record = shard.next_record()
            try:
                for part, values in zip(spooled.parts, slices, strict=True):
                    # The histogram needs the values.
                    codec.decode_into(part, record[values])
            except (CorruptShard, ValueError) as err:
                raise PipelineError(
                    f"{plan.spool / place.file} holds a record of {entry.key} that cannot be decoded; delete "
                    f"{plan.spool} and run the same command again"
                ) from err
            shard.add_encoded(facts_of(entry, spooled.georeference, spooled.nodata_pixels), record, spooled.parts)
            bytes_read += spooled.source_bytes
            progress(1)
        source = plan.source_now()
        shard.made_of = made_of(plan, bytes_read, source)
    send(options, shard.info, progress)
    return ShardResult(shard.info, (), bytes_read, source)
