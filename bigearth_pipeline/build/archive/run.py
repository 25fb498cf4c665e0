"""`bep build-shards` of archives: a pass, then the shards."""

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bigearth_pipeline.build.archive.find import common_version
from bigearth_pipeline.build.archive.listing import Listing
from bigearth_pipeline.build.archive.passes import Sample, run_pass
from bigearth_pipeline.build.archive.room import check_room, needed_bytes, num_buckets
from bigearth_pipeline.build.archive.spool import SpoolOptions, SpoolPlace, sync_spool
from bigearth_pipeline.build.archive.spool_folder import SpoolFolder
from bigearth_pipeline.build.archive.write import SpooledPlan, write_spooled
from bigearth_pipeline.build.claim import claimed
from bigearth_pipeline.build.config import BuildConfig, archive_note
from bigearth_pipeline.build.execute import write_shards
from bigearth_pipeline.build.inputs import Tables, read_tables, refuse_unused_flags
from bigearth_pipeline.build.plan import ShardPlan, plan_shards, without
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
    chooser_v1,
    chooser_v2,
    select_v1,
    select_v2,
    unique_folders,
)
from bigearth_pipeline.build.summary import BuildSummary, finish, source_facts
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.progress import Progress
from bigearth_pipeline.source.archive.location import Archive
from bigearth_pipeline.source.archive.official import WrongDigest, check_digest
from bigearth_pipeline.source.tables import refuse_no_match
from bigearth_pipeline.source.tree import Version
from bigearth_pipeline.workers import Limits, Workers, open_cluster, preload
from shards.layout.statistics import preparation
from shards.metadata.manifest import Manifest
from shards.storage.remote.address import Address
from shards.text.words import counted, human_bytes
from shards.write.options import StoreOptions
from shards.write.publish import publish_lists, publish_store


@dataclass(slots=True)
class _Work:
    """A build from archives, with all that is known before the first patch is read."""

    config: BuildConfig
    archives: Sequence[Archive]
    version: Version
    tables: Tables
    options: StoreOptions
    spool: SpoolFolder
    chosen: Any
    num_chosen: int | None
    progress: Progress


def build_from_archives(
    config: BuildConfig,
    archives: Sequence[Archive],
    *,
    progress: Progress,
    workers: int = 1,
    limits: Limits | None = None,
    pool: Workers | None = None,
) -> BuildSummary:
    """Build a store from archives, or the rest of one; arguments and errors as `build.run.build`."""
    started = time.perf_counter()
    address = config.out if isinstance(config.out, Address) else None
    if address is not None and config.spool is None:
        raise PipelineError(f"a build from archives to {address} needs a folder for its spool; name one with `spool=`")
    config = replace(config, out=config.out.absolute(), spool=(config.spool or config.out.absolute().parent).absolute())
    if pool is None:
        preload()
    version = common_version(archives)
    names = ", ".join(archive.name for archive in archives)
    places = [archive.beside for archive in archives if archive.beside is not None]
    tables = read_tables(config, version, places, names)
    identities = [archive.identity() for archive in archives]
    note = archive_note(config, version, identities, tables.paths)
    identity = {"archives": identities, "format": config.format, "codec": config.codec, "offset": note["offset"]}
    assert config.spool is not None
    spool = SpoolFolder(config.spool, config.out, identity)
    with (
        # Builds into one folder take turns, those to one address do not.
        spool.held(progress.say) if address is not None else nullcontext(),
        claimed(config, note, progress.say) as (out, finished),
        spool.told(progress.say),
    ):
        if finished:
            spool.discard()
            manifest = Manifest.read(config.out)
            facts, seconds = source_facts(config.out, manifest), time.perf_counter() - started
            return BuildSummary(manifest, 0, seconds, 0.0, {}, 0, (), facts, finished_before=True)
        refuse_unused_flags(config, tables, version, names)
        config = replace(config, out=out)
        options = StoreOptions(
            out, config.format, config.codec, config.patches_per_shard, address=address, labels43=config.labels43
        )
        chosen, num_chosen = _chooser(config, version, tables)
        work = _Work(config, archives, version, tables, options, spool, chosen, num_chosen, progress)
        prepare = preparation(min(num_chosen or 0, config.rules.limit or num_chosen or 0) // workers)
        with (
            nullcontext(pool)
            if pool
            else open_cluster(workers, None, progress, limits=limits, prepare=prepare) as cluster
        ):
            build_started = time.perf_counter()
            listing, stored = _read(work, cluster)
            selection = _select(work, listing)
            unmatched = write_unmatched(config, selection)
            refuse_empty(selection, config)
            refuse_unused_rule(selection, config)
            plan = plan_shards(selection.entries, patches_per_shard=config.patches_per_shard, seed=config.rules.seed)
            _read_missing(work, plan, listing, stored, cluster)
            bad = [
                *selection.bad,
                *(
                    Quarantined(entry.key, entry.folder, listing.faults[entry.folder])
                    for shard in plan
                    for entry in shard.entries
                    if entry.folder in listing.faults
                ),
            ]
            write_quarantine(config.out, bad)
            if address is not None:
                publish_lists(options)
            if len(bad) > config.allow_bad:
                raise PipelineError(describe_bad(config, bad))
            if len(bad) > len(selection.bad):
                plan = without(plan, frozenset(patch.key for patch in bad))
                if not plan:
                    raise all_bad(config)
            spooled = [_spooled(shard, spool.path, stored) for shard in plan]
            progress.say(f"writing {counted(len(plan), 'shard')}")
            results, built = write_shards(spooled, {}, options, cluster, progress, write_spooled)
            build_seconds = time.perf_counter() - build_started
        manifest = finish(
            config, options, version, plan, results, selection, len(bad), note, synthetic=listing.synthetic
        )
        facts = source_facts(config.out, manifest)
        if address is not None:
            publish_store(options, manifest)
        spool.remove()
    seconds = time.perf_counter() - started
    foreign = tuple(sorted(listing.foreign))
    return BuildSummary(manifest, built, seconds, build_seconds, unmatched, len(bad), foreign, facts)


def _chooser(config: BuildConfig, version: Version, tables: Tables) -> tuple[Any, int | None]:
    """Return what tells of a patch name whether it may be stored, and how many the tables name; None if unknown."""
    if version == "v2":
        assert tables.metadata is not None
        chosen = chooser_v2(tables.metadata, config.rules, tables.lists)
        return chosen.__contains__, len(chosen)
    chooses = chooser_v1(tables.lists, config.rules)
    if config.rules.split_by is not None or tables.lists is None:
        return chooses, None
    return chooses, sum(map(chooses, tables.lists.split_of))


def _read(work: _Work, cluster: Workers) -> tuple[Listing, dict[str, SpoolPlace]]:
    """Read the archives, unless an earlier run has; return what they hold, and the records by folder."""
    config, spool, progress = work.config, work.spool, work.progress
    archive_bytes = sum(archive.size for archive in work.archives)
    limit = config.rules.limit
    # A sample takes more than the limit as it goes, see `Sample`.
    patches = work.num_chosen if limit is None else min(work.num_chosen or 1 << 40, 8 * limit + 1024)
    needed = needed_bytes(config.codec, patches, archive_bytes)
    stored = spool.open()
    progress.say(check_room(needed, spool.path, spool.used(), None if work.options.address is not None else config.out))
    listing = Listing.load(spool.path, spool.identity)
    if listing is not None:
        progress.say(f"the archives were read by an earlier run; patches in the spool: {len(stored):,}")
        return listing, stored
    earlier = len(stored)
    if earlier:
        progress.say(
            f"patches that an earlier run has spooled: {earlier:,}; the archives are read again for the others"
        )
    names = ", ".join(archive.name for archive in work.archives)
    progress.say(f"reading {names} ({work.version}, {human_bytes(archive_bytes)})")
    progress.start(max(patches or 0, earlier), earlier)
    wanted = work.chosen
    # The labels of v1 come with the patches, so that a sample by name alone would take some that have none.
    if limit is not None and work.version == "v2":
        wanted = Sample(wanted, limit, config.rules.seed)
        if earlier:
            # Those of the earlier run count as well, and are not asked for.
            for folder in stored:
                wanted(folder.rpartition("/")[2])
    try:
        passed = run_pass(
            work.archives, work.version, wanted, stored, work.options, _spool_options(work, needed), cluster,
            harmonise=config.rules.offset == "auto",
        )  # fmt: skip
        digests = [
            check_digest(archive.name, archive.size, passed.digests.get(archive.name)) for archive in work.archives
        ]
    except WrongDigest:
        # What was read of it would be taken for that of the right one, which may have the same name, size and tag.
        spool.remove()
        raise
    stored |= passed.places
    roots = [archive.root for archive in work.archives]
    listing = Listing.of(passed.facts, roots, passed.digests)
    if listing.version != work.version:
        raise PipelineError(
            f"{names}: the first patch is of BigEarthNet {work.version}, the others of {listing.version}; "
            "expected one version"
        )
    for line in filter(None, digests):
        progress.say(line)
    if listing.skipped:
        progress.say(listing.skipped)
    sync_spool(spool.path, sorted({place.file for place in stored.values()}))
    listing.save(spool.path, spool.identity)
    return listing, stored


def _spool_options(work: _Work, needed: int) -> SpoolOptions:
    return SpoolOptions(work.spool.path, work.spool.run, work.config.rules.seed, num_buckets(needed))


def _read_missing(
    work: _Work, plan: Sequence[ShardPlan], listing: Listing, stored: dict[str, SpoolPlace], cluster: Workers
) -> None:
    """Read patches that are to be stored and are neither spooled nor bad, in a pass more.

    There are some if a record was damaged since, or a limit took others once all patches were known.
    """

    def missing() -> list[str]:
        return [
            entry.folder
            for shard in plan
            for entry in shard.entries
            if entry.folder not in stored and entry.folder not in listing.faults
        ]

    keys = {folder.rpartition("/")[2] for folder in missing()}
    if not keys:
        return
    work.progress.say(f"reading the archives again for {counted(len(keys), 'patch', 'patches')}")
    work.progress.start(len(keys), 0)
    passed = run_pass(
        work.archives, work.version, keys.__contains__, stored, work.options, _spool_options(work, 0), cluster,
        harmonise=work.config.rules.offset == "auto",
    )  # fmt: skip
    stored |= passed.places
    for folder, fault in passed.facts.faults.items():
        listing.faults.setdefault(folder, fault)
    if left := missing():
        raise PipelineError(f"{left[0]} was in the archive and is no more; run the same command again")


def _select(work: _Work, listing: Listing) -> Selection:
    config, tables = work.config, work.tables
    folders, bad_names = unique_folders(listing.patches)
    bad_names += [Quarantined(*unreadable) for unreadable in listing.unreadable]
    if tables.lists:
        refuse_no_match(tables.lists, folders, work.version)
    work.progress.say(f"found {counted(len(folders), 'patch folder')} ({work.version})")
    if work.version == "v2":
        assert tables.metadata is not None
        selection = select_v2(folders, tables.metadata, config.rules, tables.lists)
    else:
        selection = select_v1(folders, listing.annotate, tables.lists, tables.metadata, config.rules)
    selection.bad += bad_names
    return selection


def _spooled(shard: ShardPlan, spool: Path, stored: dict[str, SpoolPlace]) -> SpooledPlan:
    places = tuple(stored[entry.folder] for entry in shard.entries)
    return SpooledPlan(shard.split, shard.number, shard.entries, spool, places)
