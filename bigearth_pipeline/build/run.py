"""`bep build-shards`: from trees of GeoTIFFs to a finished store."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from bigearth_pipeline.build.address import claim_address
from bigearth_pipeline.build.claim import claim
from bigearth_pipeline.build.config import SOURCE_FILES, BuildConfig, build_note
from bigearth_pipeline.build.execute import write_shards
from bigearth_pipeline.build.plan import plan_shards, without
from bigearth_pipeline.build.reports import describe_bad, write_quarantine, write_unmatched
from bigearth_pipeline.build.select import (
    BAD,
    Quarantined,
    Selection,
    select_v1,
    select_v2,
    unique_folders,
)
from bigearth_pipeline.build.summary import SourceFacts, source_facts
from bigearth_pipeline.build.task import PROGRESS_EVERY
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.progress import Progress
from bigearth_pipeline.source.annotations import read_v1_annotations
from bigearth_pipeline.source.tables import (
    Metadata,
    SplitLists,
    find_metadata,
    find_split_lists,
    read_exclusions,
    read_metadata,
    read_split_lists,
    refuse_no_match,
)
from bigearth_pipeline.source.tree import Source, find_source
from bigearth_pipeline.workers import Limits, Shared, Workers, open_cluster, preload, refuse_import_by_worker
from shards.metadata.manifest import Manifest
from shards.storage.remote.address import Address
from shards.write.contents import QUARANTINE as QUARANTINE
from shards.write.contents import UNMATCHED as UNMATCHED
from shards.write.contents import WORK
from shards.write.finish import finish_store
from shards.write.options import StoreOptions
from shards.write.publish import publish_lists, publish_store

_ANNOTATIONS_A_TASK: Final = 4096


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


@dataclass(frozen=True, slots=True)
class _Tables:
    metadata: Metadata | None
    lists: SplitLists | None
    paths: tuple[Path, ...]


def build(
    config: BuildConfig,
    *,
    progress: Progress,
    workers: int = 1,
    scheduler: str | None = None,
    limits: Limits | None = None,
    pool: Workers | None = None,
) -> BuildSummary:
    """Build a store, or the rest of one.

    Args:
        config: what to build.
        progress: receives how it goes.
        workers: local worker processes, if there is no scheduler.
        scheduler: address of an existing Dask scheduler, whose workers see the same paths.
        limits: how long to wait for workers that do nothing.
        pool: workers to use in place of these.

    Raises:
        PipelineError: the build cannot be done, or has bad patches that are not allowed for.
    """
    started = time.perf_counter()
    refuse_import_by_worker()
    # Workers may be in another folder, and on another host.
    config = replace(config, sources=tuple(path.absolute() for path in config.sources), out=config.out.absolute())
    sources = _find_sources(config)
    if scheduler is None and pool is None:
        preload()
    tables = _read_tables(config, sources)
    scans = [source.scan() for source in sources]
    foreign = tuple(sorted(name for scan in scans for name in scan.foreign))
    folders, bad_names = unique_folders([patch for scan in scans for patch in scan.patches])
    bad_names += [Quarantined(*unreadable) for scan in scans for unreadable in scan.unreadable]
    if tables.lists:
        refuse_no_match(tables.lists, folders, sources[0].version)
    progress.say(f"found {len(folders):,} patch folders ({sources[0].version}) in {_names(sources)}")
    note = build_note(config, sources, tables.paths, folders)
    address = config.out if isinstance(config.out, Address) else None
    if address is not None and scheduler is not None:
        raise PipelineError(f"{address} is written to by workers of this machine; leave out `scheduler={scheduler}`")
    with _claimed(config, note, progress) as (out, finished):
        if finished:
            manifest = Manifest.read(config.out)
            facts, seconds = source_facts(config.out, manifest), time.perf_counter() - started
            return BuildSummary(manifest, 0, seconds, 0.0, {}, 0, foreign, facts, finished_before=True)
        config = replace(config, out=out)
        options = StoreOptions(config.out, config.format, config.codec, config.patches_per_shard, address=address)
        # A patch folder of each source is enough to tell that a worker sees it.
        seen = tuple(scan.patches[0][1] for scan in scans if scan.patches)
        shared = Shared(config.out / WORK, seen)
        with (
            nullcontext(pool)
            if pool
            else open_cluster(workers, scheduler, progress, limits=limits, shared=shared) as cluster
        ):
            selection = _select(config, sources[0], tables, folders, cluster)
            selection.bad += bad_names
            unmatched = write_unmatched(config, selection)
            _refuse_empty(selection, config)
            _refuse_unused_rule(selection, config)
            plan = plan_shards(selection.entries, patches_per_shard=config.patches_per_shard, seed=config.rules.seed)
            build_started = time.perf_counter()
            results, built = write_shards(plan, {}, options, cluster, progress)
            bad = [*selection.bad, *(patch for result in results.values() for patch in result.bad)]
            write_quarantine(config.out, bad)
            if address is not None:
                publish_lists(options)
            if len(bad) > config.allow_bad:
                raise PipelineError(describe_bad(config, bad))
            if any(result.bad for result in results.values()):
                known = {shard.digest: result for shard in plan if (result := results[shard.name]).info}
                plan = without(plan, frozenset(patch.key for patch in bad))
                if not plan:
                    raise PipelineError(f"all patches are bad: see {config.out / QUARANTINE}")
                results, more = write_shards(plan, known, options, cluster, progress)
                built += more
            build_seconds = time.perf_counter() - build_started
        left_out = Counter(selection.left_out)
        if bad:
            left_out[BAD] = len(bad)
        written = [results[shard.name] for shard in plan]
        manifest = finish_store(
            options,
            [result.info for result in written if result.info],
            source_version=sources[0].version,
            seed=config.rules.seed,
            left_out=dict(sorted(left_out.items())),
            offset=config.rules.offset or "none",
            synthetic=any(source.is_synthetic for source in sources),
            source_bytes=sum(result.bytes_read for result in written),
            note={**note, SOURCE_FILES: {shard.name: results[shard.name].source for shard in plan}},
        )
        facts = source_facts(config.out, manifest)
        if address is not None:
            publish_store(options, manifest)
    return BuildSummary(
        manifest, built, time.perf_counter() - started, build_seconds, unmatched, len(bad), foreign, facts
    )


@contextmanager
def _claimed(config: BuildConfig, note: dict[str, Any], progress: Progress) -> Iterator[tuple[Path, bool]]:
    """Hold the place of the store; yield the folder to write to, and whether the build has already finished."""
    if isinstance(config.out, Address):
        with claim_address(config.out, note, overwrite=config.overwrite) as claimed:
            yield claimed
    else:
        with claim(config.out, note, overwrite=config.overwrite, say=progress.say) as finished:
            yield config.out, finished


def _find_sources(config: BuildConfig) -> list[Source]:
    sources = [find_source(path) for path in config.sources]
    if len({source.version for source in sources}) > 1:
        raise PipelineError(
            f"sources are of different BigEarthNet versions: {', '.join(f'{s.root} ({s.version})' for s in sources)}"
        )
    for source in sources:
        # On the next start it would be taken for a folder of patches.
        if config.out.resolve().is_relative_to(source.root.resolve()):
            raise PipelineError(f"`out={config.out}` lies in the source {source.root}; name a folder outside of it")
    return sources


def _names(sources: Sequence[Source]) -> str:
    return ", ".join(str(source.root) for source in sources)


def _read_tables(config: BuildConfig, sources: Sequence[Source]) -> _Tables:
    # In and beside what the user named, and beside the tree that was found there.
    places = [
        place
        for given, source in zip(config.sources, sources, strict=True)
        for place in (given, source.root, source.root.parent, given.parent)
    ]
    resolved = [source.root.resolve() for source in sources]
    if twice := next((root for root in resolved if resolved.count(root) > 1), None):
        raise PipelineError(f"source {twice} is named twice, expected different trees")
    metadata_paths = list(config.metadata) or find_metadata(places)
    metadata = read_metadata(metadata_paths) if metadata_paths else None
    if sources[0].version == "v2":
        if metadata is None:
            raise PipelineError(
                f"no metadata.parquet in or beside {_names(sources)}: BigEarthNet v2 keeps its labels there; "
                "name it with `metadata=`"
            )
        # Lists that lie about may be v1's: the tables of v2 have splits of their own.
        chosen = read_split_lists(config.splits) if config.splits else None
        return _Tables(metadata, chosen, (*metadata_paths, *(chosen.paths if chosen else ())))
    folder = config.splits or find_split_lists(places)
    lists = read_split_lists(folder, found=config.splits is None) if folder else None
    if lists is None and config.rules.split_by is None:
        raise PipelineError(
            f"no split lists (train.csv, val.csv, test.csv) in or beside {_names(sources)}: "
            "name their folder with `splits=`, or split by name with `split_by=hash:80/10/10`"
        )
    if config.require_all and lists is None:
        raise PipelineError(
            "`require_all=True` compares folders with split lists, and there are none; name them with `splits=`"
        )
    if config.metadata and metadata is not None and not metadata.country_of_v1:
        raise PipelineError(
            f"`metadata={config.metadata[0]}` has no effect: of a v1 source it tells countries, by the columns "
            "s2v1_name and country, which hold nothing"
        )
    lists = read_exclusions(places, lists)
    return _Tables(metadata, lists, (*metadata_paths, *lists.paths))


def _select(
    config: BuildConfig, source: Source, tables: _Tables, folders: dict[str, str], cluster: Workers
) -> Selection:
    if source.version == "v2":
        assert tables.metadata is not None
        return select_v2(folders, tables.metadata, config.rules, tables.lists)

    def annotate(patches: Sequence[tuple[str, str]]) -> list[tuple[int, str] | str]:
        starts = range(0, len(patches), _ANNOTATIONS_A_TASK)
        chunks = [tuple(patches[start : start + _ANNOTATIONS_A_TASK]) for start in starts]
        results = dict(cluster.map(_annotate, chunks))
        return [annotation for chunk in chunks for annotation in results[chunk]]

    return select_v1(folders, annotate, tables.lists, tables.metadata, config.rules)


def _annotate(patches: Sequence[tuple[str, str]], progress: Callable[[int], None]) -> list[tuple[int, str] | str]:
    annotations: list[tuple[int, str] | str] = []
    for start in range(0, len(patches), PROGRESS_EVERY):
        annotations += read_v1_annotations(patches[start : start + PROGRESS_EVERY])
        progress(0)  # No patch is done, but the disk is not stuck.
    return annotations


def _refuse_empty(selection: Selection, config: BuildConfig) -> None:
    if not selection.entries:
        reasons = [f"{count:,} {reason}" for reason, count in sorted(selection.left_out.items())]
        if selection.bad:
            write_quarantine(config.out, selection.bad)
            first = min(selection.bad, key=lambda patch: (patch.key, patch.folder))
            reasons.append(f"{len(selection.bad):,} × {BAD}, the first: {first.key}: {first.reason}")
        raise PipelineError(f"no patch is left to store: {', '.join(reasons) or 'the source is empty'}")


def _refuse_unused_rule(selection: Selection, config: BuildConfig) -> None:
    if config.rules.split_by is not None and not selection.num_split_by_name:
        tables = f"the lists of {config.splits}" if config.splits else "the tables and lists"
        raise PipelineError(f"`split_by=` has no effect: {tables} give a split to every patch; leave it out")
