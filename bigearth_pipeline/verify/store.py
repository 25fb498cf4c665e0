"""`bep verify`: every checksum and count of a store, index ≡ shards, all records decode, statistics are the pixels'."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bigearth_pipeline.build.config import SOURCE_FILES, DamagedNote, read_build_note
from bigearth_pipeline.build.inputs import places_of
from bigearth_pipeline.build.select import unique_folders
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.main_script import refuse_import_by_worker
from bigearth_pipeline.progress import Progress, Silent
from bigearth_pipeline.source.fingerprint import fingerprint_now
from bigearth_pipeline.source.tree import Source, find_source
from bigearth_pipeline.verify.containers import (
    check_codec,
    check_tar,
    check_zarr_files,
    check_zarr_shard,
    check_zarr_tables,
)
from bigearth_pipeline.verify.facts import check_facts, facts_of_source
from bigearth_pipeline.verify.findings import Findings
from bigearth_pipeline.verify.records import check_records
from bigearth_pipeline.verify.remote import add_unlisted, copied, renamed, shard_copied
from bigearth_pipeline.verify.tables import check_build_note, check_lists, check_order, read_histograms
from bigearth_pipeline.verify.unlisted import notes_on_unlisted
from bigearth_pipeline.workers import Limits, Workers, open_cluster, preload
from shards import CorruptShard, Store
from shards.layout.bands import BANDS
from shards.layout.shuffle import shuffle_rank
from shards.layout.statistics import BINS, Histograms, band_statistics, histogram_counts, histogram_table, preparation
from shards.metadata.consistency import differences
from shards.metadata.entries import FileInfo
from shards.metadata.manifest import HISTOGRAMS, INDEX, MANIFEST, Manifest
from shards.storage.remote.address import Address
from shards.storage.safe_open import open_inside
from shards.text.words import counted

MAX_PROBLEMS_A_SHARD: Final = 20


@dataclass(frozen=True, slots=True)
class _ShardCheck:
    """A shard to be checked.

    Attributes:
        number: of the shard.
        folders: folders of those patches that are to be compared, by row.
        source: fingerprint of the files that it was made of, if those are to be compared; else None.
    """

    number: int
    folders: dict[int, str]
    source: str | None


def verify_store(
    folder: Path,
    *,
    against: Sequence[Path] = (),
    sample: int | None = None,
    workers: int = 1,
    progress: Progress | None = None,
    limits: Limits | None = None,
    pool: Workers | None = None,
) -> Findings:
    """Check a store.

    Args:
        folder: the store, or its address.
        against: BigEarthNet trees; pixels and places are compared with the GeoTIFFs in them, facts with their tables.
        sample: maximum number of patches to compare; default: all.
        workers: worker processes.
        progress: receives how it goes.
        limits: how long to wait for workers that do nothing.
        pool: workers to use in place of local processes.

    Raises:
        ShardError: there is no store, or its manifest and its index cannot be read or do not fit together.
        PipelineError: a tree of `against` is none.
    """
    refuse_import_by_worker()
    folder, against = folder.absolute(), [path.absolute() for path in against]
    manifest = Manifest.read(folder)
    if pool is None:
        preload()
    how = against, sample, workers, progress or Silent(), limits, pool
    if not isinstance(folder, Address):
        return _verify(folder, None, manifest, *how)
    with copied(folder, manifest) as copy:
        findings = _verify(copy, folder, manifest, *how)
        add_unlisted(findings, folder, manifest)
        return renamed(findings, copy, folder)


def _verify(
    folder: Path,
    address: Address | None,
    manifest: Manifest,
    against: Sequence[Path],
    sample: int | None,
    workers: int,
    progress: Progress,
    limits: Limits | None,
    pool: Workers | None,
) -> Findings:
    """Check a store; see `verify_store`. Of one at an address, the folder holds all but the shards."""
    findings = Findings()
    described = {info.path: _check_file(folder, info, findings) for info in manifest.files}
    for problems in described.values():
        findings.problems += problems
    findings.problems += [f"{MANIFEST} lists no {name}" for name in (INDEX, HISTOGRAMS) if name not in described]
    if described.get(INDEX):
        # A damaged index can still be readable, and then says anything.
        findings.problems.append(f"{folder / INDEX} is needed to check the shards, which was not done")
        return findings
    with Store(folder, compare=False) as store:
        sources = [find_source(path) for path in against]
        folders = _folders_to_compare(store, sources, sample, findings)
        note = _note(folder, findings) if sources else {}
        moved = [str(source.root.resolve()) for source in sources] != note.get("sources")
        source_files = note.get(SOURCE_FILES)
        # Fingerprints of another copy say nothing.
        fingerprints = source_files if isinstance(source_files, dict) and not moved else {}
        facts = facts_of_source(sources[0].version, note, places_of(against, sources), moved=moved) if sources else None
        progress.start(len(store), 0)
        shard_of_row, names = store.index.codes("shard")
        numbers = {shard.name: number for number, shard in enumerate(store.manifest.shards)}
        rows_of: dict[int, list[int]] = {}
        for row, code in enumerate(shard_of_row.tolist()):
            rows_of.setdefault(numbers[names[code]], []).append(row)
        checks = [
            _ShardCheck(
                number,
                {row: folders[row] for row in rows_of.get(number, []) if row in folders},
                fingerprints.get(shard.name),
            )
            for number, shard in enumerate(store.manifest.shards)
        ]
        counts = {name: np.zeros((len(BANDS), BINS), np.int64) for name in store.manifest.splits}
        unread: set[str] = set()
        prepare = preparation(len(store) // workers)
        with (
            nullcontext(pool)
            if pool
            else open_cluster(workers, progress=progress, limits=limits, prepare=prepare) as cluster
        ):
            if facts is not None:
                findings.problems += check_facts(store, facts, folders, cluster)
                findings.notes += facts.notes
                findings.facts = facts.words(store)
            for check, (found, histogram) in cluster.map(_check_shard, checks, str(folder), address):
                findings.add(found)
                split = store.manifest.shards[check.number].split
                if split in counts:
                    counts[split] += histogram_counts(histogram)
                if found.patches < len(rows_of.get(check.number, [])):
                    unread.add(split)
        findings.problems += differences(store.manifest, store.index)
        findings.problems += check_order(store)
        findings.problems += check_build_note(store)
        findings.problems += check_lists(store)
        # Where a record could not be read, other sums are no news.
        whole = {name: counts[name] for name in counts if name not in unread}
        findings.problems += _check_statistics(store, whole, histograms=not described.get(HISTOGRAMS))
        if store.manifest.format == "zarr":
            findings.problems += check_zarr_files(store)
            findings.problems += check_zarr_tables(store)
        if address is None:
            findings.notes += notes_on_unlisted(store)
    findings.problems = sorted(set(findings.problems))
    if findings.outdated:
        findings.notes.append(_describe_outdated(sorted(findings.outdated)))
    return findings


def _folders_to_compare(
    store: Store, sources: Sequence[Source], sample: int | None, findings: Findings
) -> dict[int, str]:
    """Return the source folder of each row that is to be compared; a patch without one is a problem."""
    if not sources:
        return {}
    for source in sources:
        if source.version != store.manifest.source_version:
            raise PipelineError(
                f"{source.root} is BigEarthNet {source.version}, but {store.folder} was built from "
                f"{store.manifest.source_version}"
            )
    folder_of, _ = unique_folders([found for source in sources for found in source.folders()])
    keys: list[str] = store.index.table["key"].to_pylist()
    rows: Sequence[int] = range(len(keys))
    if sample is not None and sample < len(keys):
        rows = sorted(rows, key=lambda row: shuffle_rank(keys[row], -1))[:sample]
    findings.problems += [f"{keys[row]} has no folder in the source" for row in rows if keys[row] not in folder_of]
    return {row: folder_of[keys[row]] for row in rows if keys[row] in folder_of}


def _note(folder: Path, findings: Findings) -> dict[str, Any]:
    """Return the contents of `build.json` of a store; empty if it is absent or damaged."""
    try:
        return read_build_note(folder) or {}
    except DamagedNote:
        return {}  # Named among the problems.
    except PipelineError as err:
        findings.notes.append(str(err))
        return {}


def _describe_outdated(shards: list[str]) -> str:
    named = ", ".join(shards[:3]) + (", …" if len(shards) > 3 else "")
    number = counted(len(shards), "shard")
    return (
        f"the source files of {number} have another size or time than when it was built ({named}); "
        "what differs there was changed after the build"
    )


def _check_shard(
    check: _ShardCheck, folder: str, address: Address | None, progress: Callable[[int], None]
) -> tuple[Findings, pa.Table]:
    """Check one shard; return what was found and the histogram of its pixels."""
    findings = Findings()
    histograms = Histograms()
    with Store(folder, num_threads=1, compare=False) as store, ExitStack() as stack:
        shard = store.manifest.shards[check.number]
        stack.enter_context(shard_copied(address, shard, Path(folder)))
        codes, names = store.index.codes("shard")
        rows = np.flatnonzero(codes == names.index(shard.name)).tolist() if shard.name in names else []
        for info in shard.files:
            findings.problems += _check_file(Path(folder), info, findings)
        if check.source is not None and len(check.folders) == len(rows):
            keys = store.index.table["key"]
            patches = [(keys[row].as_py(), check.folders[row]) for row in rows]
            if fingerprint_now(patches) != check.source:
                findings.outdated.append(shard.name)
        structure = check_tar if store.manifest.format == "webdataset" else check_zarr_shard
        findings.problems += _first(structure(store, shard, rows), shard.name)
        findings.problems += check_codec(store, rows[:1])
        findings.problems += _first(
            check_records(store, rows, check.folders, histograms, findings, progress), shard.name
        )
    return findings, histogram_table(histograms.counts())


def _first(problems: Iterator[str], shard: str) -> list[str]:
    """Return the different problems up to a number that a person would read, and then how many more there are."""
    different = list(dict.fromkeys(problems))
    more = len(different) - MAX_PROBLEMS_A_SHARD
    if more > 0:
        different[MAX_PROBLEMS_A_SHARD:] = [f"{shard}: {more} more problems like these"]
    return different


def _check_file(folder: Path, info: FileInfo, findings: Findings) -> list[str]:
    path = folder / info.path
    try:
        with open_inside(folder, info.path) as file:
            size = os.fstat(file.fileno()).st_size
            if size != info.size_bytes:
                return [f"{path} has {size} bytes, expected {info.size_bytes}"]
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as err:
        return [f"{path} cannot be read: {err.strerror}"]
    findings.bytes_read += size
    if digest != info.sha256:
        return [f"{path} has SHA-256 {digest}, expected {info.sha256}"]
    return []


def _check_statistics(store: Store, counts: dict[str, NDArray[np.int64]], *, histograms: bool) -> Iterator[str]:
    """Compare the manifest, and the histogram file if that is to be read, with the counts of pixels by split."""
    if histograms:
        try:
            stored = read_histograms(store.folder / HISTOGRAMS)
        except CorruptShard as err:
            yield str(err)
        else:
            for split in sorted(stored.keys() - store.manifest.splits.keys()):
                yield f"{store.folder / HISTOGRAMS}: split {split} is not one of {MANIFEST}"
            for split, counted in counts.items():
                if split not in stored or not np.array_equal(stored[split], counted):
                    yield f"{store.folder / HISTOGRAMS}: split {split} differs from the pixels"
    for split in counts:
        info = store.manifest.splits[split]
        for i, band in enumerate(BANDS):
            if not counts[split][i].any() or band_statistics(counts[split][i]) != info.statistics.get(band):
                yield f"{MANIFEST}: the statistics of {band} in split {split} are not those of the pixels"
