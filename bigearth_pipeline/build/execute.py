"""Writing the shards of a plan that are not there yet, on all workers."""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from bigearth_pipeline.build.earlier_shards import ShardResult, check_shard
from bigearth_pipeline.build.plan import ShardPlan
from bigearth_pipeline.build.task import write_shard
from bigearth_pipeline.progress import Progress
from bigearth_pipeline.workers import Workers
from shards.text.words import counted
from shards.write.contents import look
from shards.write.options import StoreOptions

_MAX_NAMED: Final = 5


Plan = TypeVar("Plan", bound=ShardPlan)


def write_shards(
    plan: Sequence[Plan],
    known: dict[str, ShardResult],
    options: StoreOptions,
    cluster: Workers,
    progress: Progress,
    write: Callable[[Plan, StoreOptions, Callable[[int], None]], ShardResult] = write_shard,
) -> tuple[dict[str, ShardResult], int]:
    """Write the shards that are not there yet; return the results of all, and the number of patches written.

    Args:
        plan: all shards.
        known: results of shards that this run has written or checked, by the digest of their plan.
        options: what all shards have in common.
        cluster: workers.
        progress: receives how it goes.
        write: what a worker does for a shard.
    """
    results = {shard.name: known[shard.digest] for shard in plan if shard.digest in known}
    results |= _finished([shard for shard in plan if shard.name not in results], options, cluster, progress)
    # Large shards first, so that the workers end together.
    missing = sorted(
        (shard for shard in plan if shard.name not in results), key=lambda shard: (-len(shard.entries), shard.name)
    )
    total = sum(len(shard.entries) for shard in plan)
    progress.start(total, total - sum(len(shard.entries) for shard in missing))
    built = 0
    for shard, result in cluster.map(write, missing, options):
        results[shard.name] = result
        built += result.info.count if result.info else 0
    return results, built


def _finished(
    plan: Sequence[Plan], options: StoreOptions, cluster: Workers, progress: Progress
) -> dict[str, ShardResult]:
    """Return the results of shards that an earlier run has written, and that are what it wrote; say which are not."""
    noted = look(options.folder, options.format, len(plan)).notes
    candidates = [shard for shard in plan if shard.name in noted]
    if not candidates:
        return {}
    progress.say(f"comparing {counted(len(candidates), 'shard')} of an earlier run with checksums and source")
    results, reasons = {}, {}
    for shard, checked in cluster.map(check_shard, candidates, options):
        if checked.result is not None:
            results[shard.name] = checked.result
        elif checked.reason is not None:
            reasons[shard.name] = checked.reason
    for name in sorted(reasons)[:_MAX_NAMED]:
        progress.say(f"shard {name} is built again: {reasons[name]}")
    if len(reasons) > _MAX_NAMED:
        progress.say(f"{counted(len(reasons) - _MAX_NAMED, 'shard')} more are built again for such reasons")
    return results
