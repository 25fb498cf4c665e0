"""The finished store of a build, its summary, and what that says of the stored patches besides their numbers."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from bigearth_pipeline.build.config import SOURCE_FILES, BuildConfig
from bigearth_pipeline.build.earlier_shards import ShardResult
from bigearth_pipeline.build.plan import ShardPlan
from bigearth_pipeline.build.select import BAD, Selection
from bigearth_pipeline.source.offset import OFFSET, baseline_name, has_offset
from bigearth_pipeline.source.tree import Version
from shards.metadata.index import Index
from shards.metadata.manifest import Manifest
from shards.runtime.arrow import numpy_values
from shards.text.words import patches
from shards.write.finish import finish_store
from shards.write.options import StoreOptions

_UNKNOWN: Final = "unknown"


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """Facts of the stored patches.

    Attributes:
        baselines: patches by processing baseline, such as `N0400`, or `unknown`.
        offset: `auto` if the radiometric offset was subtracted, else `none`.
        with_offset: patches of baselines with the offset.
        with_nodata: patches with missing pixels.
        nodata_pixels: missing pixels, at the native resolutions.
        unknown_flags: patches of which nothing tells whether they have snow, clouds or shadows.
    """

    baselines: dict[str, int] = field(default_factory=dict)
    offset: str = "none"
    with_offset: int = 0
    with_nodata: int = 0
    nodata_pixels: int = 0
    unknown_flags: int = 0

    def lines(self) -> list[str]:
        """Return what people should know, a line each."""
        lines = []
        if self.baselines.keys() - {_UNKNOWN}:
            counts = ", ".join(f"{name} ({count:,})" for name, count in self.baselines.items())
            lines.append(f"processing baselines: {counts}")
        if self.with_offset:
            what = f"subtracted {OFFSET} from" if self.offset == "auto" else f"{OFFSET} is not subtracted from"
            more = "" if self.offset == "auto" else "; `offset=auto` does it"
            lines.append(f"radiometric offset: {what} the {patches(self.with_offset)} of baseline N0400 or later{more}")
        if self.with_nodata:
            lines.append(
                f"missing pixels: {self.nodata_pixels:,} in {patches(self.with_nodata)} (column nodata_pixels)"
            )
        if self.unknown_flags:
            lines.append(
                f"snow and clouds: unknown of {patches(self.unknown_flags)}, stored all the same; exclusion lists in "
                "the folder of `splits=` would tell"
            )
        return lines


def source_facts(out: Path, manifest: Manifest) -> SourceFacts:
    """Return the facts of a finished store."""
    index = Index.read(out, manifest)
    counts = Counter(index.table["baseline"].to_pylist())
    missing = numpy_values(index.table["nodata_pixels"], null=0)
    flags = [numpy_values(index.table[name].is_null()) for name in ("seasonal_snow", "cloud_or_shadow")]
    return SourceFacts(
        baselines={
            _UNKNOWN if baseline is None else baseline_name(baseline): counts[baseline]
            for baseline in sorted(counts, key=lambda baseline: (baseline is None, baseline or 0))
        },
        offset=manifest.offset,
        with_offset=sum(count for baseline, count in counts.items() if has_offset(baseline)),
        with_nodata=int(np.count_nonzero(missing)),
        nodata_pixels=int(missing.sum(dtype=np.int64)),
        unknown_flags=int(np.count_nonzero(flags[0] | flags[1])),
    )


@dataclass(frozen=True, slots=True)
class BuildSummary:
    """Summary of a build.

    Attributes:
        manifest: the store's.
        built: patches written by this run.
        seconds: wall time of this run.
        build_seconds: of these, from the first shard task to the last.
        unmatched: table rows without folders and folders without rows, by kind.
        bad: patches in quarantine.
        foreign: folders of the source that are no part of BigEarthNet.
        facts: what else is to be known of the stored patches, a line each.
        finished_before: the store was already finished; nothing was done.
    """

    manifest: Manifest
    built: int
    seconds: float
    build_seconds: float
    unmatched: dict[str, int]
    bad: int
    foreign: tuple[str, ...] = ()
    facts: SourceFacts = field(default_factory=SourceFacts)
    finished_before: bool = False


def finish(
    config: BuildConfig,
    options: StoreOptions,
    version: Version,
    plan: Sequence[ShardPlan],
    results: dict[str, ShardResult],
    selection: Selection,
    num_bad: int,
    note: dict[str, Any],
    *,
    synthetic: bool,
) -> Manifest:
    """Finish a store whose shards are all there.

    Args:
        config: of the build.
        options: what all shards have in common.
        version: of the sources.
        plan: all shards.
        results: of the shards by their names.
        selection: the patches, and why others were left out.
        num_bad: patches in quarantine.
        note: of the build.
        synthetic: a source has the mark of data that were drawn by chance.
    """
    left_out = Counter(selection.left_out)
    if num_bad:
        left_out[BAD] = num_bad
    written = [results[shard.name] for shard in plan]
    return finish_store(
        options,
        [result.info for result in written if result.info],
        source_version=version,
        seed=config.rules.seed,
        left_out=dict(sorted(left_out.items())),
        offset=config.rules.offset or "none",
        synthetic=synthetic,
        source_bytes=sum(result.bytes_read for result in written),
        note={**note, SOURCE_FILES: {shard.name: results[shard.name].source for shard in plan}},
    )
