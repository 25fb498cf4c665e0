"""`bep build-shards`: from trees of GeoTIFFs to a finished store."""

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace

from bigearth_pipeline.build.address import refuse_read_only
from bigearth_pipeline.build.archive.find import find_archives
from bigearth_pipeline.build.archive.run import build_from_archives
from bigearth_pipeline.build.claim import claimed
from bigearth_pipeline.build.config import CONNECTIONS, BuildConfig, build_note
from bigearth_pipeline.build.execute import write_shards
from bigearth_pipeline.build.inputs import Tables, annotate_by, places_of, read_tables, refuse_unused_flags
from bigearth_pipeline.build.plan import plan_shards, without
from bigearth_pipeline.build.reports import (
    all_bad,
    describe_bad,
    refuse_empty,
    refuse_unused_rule,
    write_quarantine,
    write_unmatched,
)
from bigearth_pipeline.build.select import (
    Quarantined,
    Selection,
    select_v1,
    select_v2,
    unique_folders,
)
from bigearth_pipeline.build.summary import BuildSummary, finish, source_facts
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.main_script import refuse_import_by_worker
from bigearth_pipeline.progress import Progress
from bigearth_pipeline.source.tables import (
    refuse_no_match,
)
from bigearth_pipeline.source.tree import Source, find_source
from bigearth_pipeline.workers import Limits, Shared, Workers, open_cluster, preload
from shards.layout.statistics import preparation
from shards.metadata.manifest import Manifest
from shards.storage.remote.address import Address
from shards.text.words import counted
from shards.write.contents import QUARANTINE as QUARANTINE
from shards.write.contents import UNMATCHED as UNMATCHED
from shards.write.contents import WORK
from shards.write.options import StoreOptions
from shards.write.publish import publish_lists, publish_store


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
    if isinstance(config.out, Address):
        refuse_read_only(config.out)
    if not config.urls and config.connections != CONNECTIONS:
        raise PipelineError(f"`connections={config.connections}` has no effect: no source is an address; leave it out")
    if archives := find_archives(config):
        if scheduler is not None:
            raise PipelineError(
                "`scheduler=` has no effect with archives, whose patches go to workers through memory of this machine; "
                "leave it out, or unpack the archive"
            )
        return build_from_archives(config, archives, progress=progress, workers=workers, limits=limits, pool=pool)
    if config.spool is not None:
        raise PipelineError(f"`spool={config.spool}` has no effect on a build from folders; leave it out")
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
    progress.say(f"found {counted(len(folders), 'patch folder')} ({sources[0].version}) in {_names(sources)}")
    note = build_note(config, sources, tables.paths, folders)
    address = config.out if isinstance(config.out, Address) else None
    if address is not None and scheduler is not None:
        raise PipelineError(f"{address} is written to by workers of this machine; leave out `scheduler={scheduler}`")
    with claimed(config, note, progress.say) as (out, finished):
        if finished:
            manifest = Manifest.read(config.out)
            facts, seconds = source_facts(config.out, manifest), time.perf_counter() - started
            return BuildSummary(manifest, 0, seconds, 0.0, {}, 0, foreign, facts, finished_before=True)
        refuse_unused_flags(config, tables, sources[0].version, _names(sources))
        config = replace(config, out=out)
        options = StoreOptions(
            config.out, config.format, config.codec, config.patches_per_shard, address=address, labels43=config.labels43
        )
        # A patch folder of each source is enough to tell that a worker sees it.
        seen = tuple(scan.patches[0][1] for scan in scans if scan.patches)
        shared = Shared(config.out / WORK, seen)
        prepare = preparation(min(len(folders), config.rules.limit or len(folders)) // workers)
        with (
            nullcontext(pool)
            if pool
            else open_cluster(workers, scheduler, progress, limits=limits, shared=shared, prepare=prepare) as cluster
        ):
            selection = _select(config, sources[0], tables, folders, cluster)
            selection.bad += bad_names
            unmatched = write_unmatched(config, selection)
            refuse_empty(selection, config)
            refuse_unused_rule(selection, config)
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
                    raise all_bad(config)
                results, more = write_shards(plan, known, options, cluster, progress)
                built += more
            build_seconds = time.perf_counter() - build_started
        synthetic = any(source.is_synthetic for source in sources)
        manifest = finish(
            config, options, sources[0].version, plan, results, selection, len(bad), note, synthetic=synthetic
        )
        facts = source_facts(config.out, manifest)
        if address is not None:
            publish_store(options, manifest)
    return BuildSummary(
        manifest, built, time.perf_counter() - started, build_seconds, unmatched, len(bad), foreign, facts
    )


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


def _read_tables(config: BuildConfig, sources: Sequence[Source]) -> Tables:
    places = places_of(config.sources, sources)
    resolved = [source.root.resolve() for source in sources]
    if twice := next((root for root in resolved if resolved.count(root) > 1), None):
        raise PipelineError(f"source {twice} is named twice, expected different trees")
    return read_tables(config, sources[0].version, places, _names(sources))


def _select(
    config: BuildConfig, source: Source, tables: Tables, folders: dict[str, str], cluster: Workers
) -> Selection:
    if source.version == "v2":
        assert tables.metadata is not None
        return select_v2(folders, tables.metadata, config.rules, tables.lists)

    return select_v1(folders, annotate_by(cluster), tables.lists, tables.metadata, config.rules)
