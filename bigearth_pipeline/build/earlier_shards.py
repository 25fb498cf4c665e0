"""The result of building a shard, and the check that an earlier run's note of it still holds when a build resumes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bigearth_pipeline.build.plan import ShardPlan
from bigearth_pipeline.build.select import Quarantined
from shards.metadata.entries import ShardInfo
from shards.write.options import StoreOptions
from shards.write.shard_note import DAMAGED, DamagedNote, damage, notes_damage, read_note


@dataclass(frozen=True, slots=True)
class ShardResult:
    """The result of building a shard: its description, or the bad patches that kept it from being written.

    Attributes:
        info: for the manifest.
        bad: bad patches.
        bytes_read: bytes of the band files.
        source: fingerprint of the files that it was made of.
    """

    info: ShardInfo | None
    bad: tuple[Quarantined, ...]
    bytes_read: int
    source: str = ""


@dataclass(frozen=True, slots=True)
class Checked:
    """A shard of an earlier run: its result, or why it is built again; neither if it is of another plan."""

    result: ShardResult | None = None
    reason: str | None = None


def made_of(plan: ShardPlan, bytes_read: int, source: str) -> dict[str, Any]:
    """Return what the note of a shard says of its origin, beside what the writer says of its files."""
    return {"plan": plan.digest, "bytes_read": bytes_read, "source": source}


def check_shard(plan: ShardPlan, options: StoreOptions, progress: Callable[[int], None]) -> Checked:
    """Compare a shard of an earlier run with its note, its plan and its source; run on a worker.

    Every byte of it is read. Nothing but the files that a shard of this plan has is opened, whatever the note says.

    Args:
        plan: the shard.
        options: what all shards have in common.
        progress: ends the task if nobody waits for it.
    """
    try:
        note = read_note(options, plan.split, plan.number)
    except FileNotFoundError:
        return Checked()
    except DamagedNote as err:
        return Checked(reason=str(err))
    origin = note.made_of
    bytes_read, source = origin.get("bytes_read"), origin.get("source")
    if not (
        isinstance(origin.get("plan"), str)
        and isinstance(bytes_read, int)
        and not isinstance(bytes_read, bool)
        and bytes_read >= 0
        and isinstance(source, str)
    ):
        return Checked(reason=DAMAGED)
    if origin["plan"] != plan.digest or note.info.count != len(plan.entries):
        return Checked()
    if source != plan.source_now():
        return Checked(reason="files of its source have changed since")
    if options.address is not None:
        from shards.write.publish import published_damage

        reason = notes_damage(options, note) or published_damage(options, note.info)
    else:
        reason = damage(options, note, progress)
    if reason:
        return Checked(reason=reason)
    return Checked(ShardResult(note.info, (), bytes_read, source))
