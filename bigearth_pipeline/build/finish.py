"""The end of a build: the parts that the shards left are merged into index, histograms, Zarr metadata and manifest."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from bigearth_pipeline.build.config import SOURCE_FILES
from bigearth_pipeline.build.contents import look, note_paths, shard_paths
from bigearth_pipeline.build.note import ShardOptions, ShardResult, hash_file
from bigearth_pipeline.build.plan import ShardPlan
from shards.codec.registry import get_codec
from shards.layout.bands import BANDS
from shards.layout.classes import CLASSES
from shards.layout.statistics import BINS, band_statistics, histogram_counts, histogram_table
from shards.metadata.index import Index, index_schema, read_table, write_table
from shards.metadata.manifest import BUILD_NOTE, HISTOGRAMS, INDEX, SPLITS, FileInfo, Manifest, SplitInfo
from shards.runtime.arrow import dictionary_array
from shards.storage.atomic import atomic_write
from shards.storage.regular import resolve_inside


def finish_store(
    plan: Sequence[ShardPlan],
    results: dict[str, ShardResult],
    options: ShardOptions,
    note: dict[str, Any],
    *,
    source_version: str,
    seed: int,
    left_out: dict[str, int],
    offset: str = "none",
) -> Manifest:
    """Merge what the shards left, write all files that describe the store, the manifest last, and return it.

    Args:
        plan: the shards.
        results: of the shards, by name.
        options: what all shards have in common.
        note: of the build, to which the fingerprints of the sources are added.
        source_version: version of BigEarthNet.
        seed: of the shuffle.
        left_out: patches that are not in the store, by reason.
        offset: what was done about the radiometric offset, `auto` or `none`.
    """
    remove_surplus(plan, options)
    infos = [info for shard in plan if (info := results[shard.name].info)]
    parts = [read_table(options.work / f"{shard.name}.index.parquet") for shard in plan]
    table = pa.concat_tables(parts).cast(index_schema(options.format)).unify_dictionaries().combine_chunks()
    write_table(table, options.out / INDEX)
    index = Index(table)
    splits = _describe_splits(plan, index, options)
    if options.format == "zarr":
        _write_zarr(index, splits, options)
    manifest = Manifest(
        format=options.format,
        codec=options.codec,
        source_version=source_version,
        count=len(index),
        splits=splits,
        shards=tuple(infos),
        files=tuple(_file_info(options.out, path) for path in _described(options, splits)),
        seed=seed,
        patches_per_shard=options.patches_per_shard,
        source_bytes=sum(results[shard.name].bytes_read for shard in plan),
        left_out=left_out,
        offset=offset,
    )
    with atomic_write(options.out / BUILD_NOTE) as file:
        sources = {shard.name: results[shard.name].source for shard in plan}
        file.write(json.dumps({**note, SOURCE_FILES: sources}, indent=1).encode() + b"\n")
    manifest.write(options.out)
    return manifest


def remove_surplus(plan: Sequence[ShardPlan], options: ShardOptions) -> None:
    """Remove shards that an earlier plan had and this one has not: filling holes can empty a split's last shard.

    Which files a shard has follows from its name. What its note says of them is not asked.
    """
    for name in look(options.out, options.format).notes - {shard.name for shard in plan}:
        split, _, number = name.rpartition("-")
        for relative in shard_paths(options.format, split, int(number)):
            if path := resolve_inside(options.out, relative):
                path.unlink(missing_ok=True)
        for path in note_paths(options.work, name):
            path.unlink(missing_ok=True)


def _describe_splits(plan: Sequence[ShardPlan], index: Index, options: ShardOptions) -> dict[str, SplitInfo]:
    labels = index.labels()
    splits = {}
    tables = []
    for split in SPLITS:
        shards = [shard for shard in plan if shard.split == split]
        if not shards:
            continue
        counts = np.zeros((len(BANDS), BINS), np.int64)
        for shard in shards:
            counts += histogram_counts(read_table(options.work / f"{shard.name}.histogram.parquet"))
        rows = index.rows(split)
        class_counts = labels[rows].sum(axis=0, dtype=np.int64).tolist()
        splits[split] = SplitInfo(
            count=len(rows),
            class_counts=dict(zip(CLASSES, class_counts, strict=True)),
            statistics={band: band_statistics(counts[i]) for i, band in enumerate(BANDS)},
        )
        table = histogram_table(counts)
        tables.append(table.add_column(0, "split", dictionary_array([split] * len(table))))
    write_table(pa.concat_tables(tables).unify_dictionaries(), options.out / HISTOGRAMS)
    return splits


_COMMON: Final = {"source": "BigEarthNet Sentinel-2", "dtype": "uint16", "nodata": 0}


def _write_zarr(index: Index, splits: dict[str, SplitInfo], options: ShardOptions) -> None:
    from shards.container.zarr import write_root, write_split

    attributes: dict[str, Any] = {**_COMMON, "bands": list(BANDS), "classes": list(CLASSES)}
    write_root(options.out, attributes)
    keys = index.table["key"].to_pylist()
    labels = index.labels()
    for split, info in splits.items():
        rows = index.rows(split)
        statistics = {band: statistic.to_json() for band, statistic in info.statistics.items()}
        for path in look(options.out, options.format, len(rows)).files:
            if path.startswith((f"{split}/labels/", f"{split}/key/")):
                (options.out / path).unlink()
        write_split(
            options.out,
            split,
            keys=[keys[row] for row in rows.tolist()],
            labels=labels[rows],
            patches_per_shard=options.patches_per_shard,
            codec=get_codec(options.codec),
            attributes={**attributes, "class_counts": info.class_counts, "statistics": statistics},
        )


def _described(options: ShardOptions, splits: dict[str, SplitInfo]) -> list[str]:
    """Return the paths of all files that are neither shards nor the manifest."""
    paths = [INDEX, HISTOGRAMS]
    if options.format == "zarr":
        paths.append("zarr.json")
        found = look(options.out, options.format, sum(info.count for info in splits.values())).files
        for split in splits:
            tables = (f"{split}/labels/", f"{split}/key/")
            paths += sorted(
                path
                for path in found
                if path.startswith(tables) or (path.startswith(f"{split}/") and path.endswith("/zarr.json"))
            )
    return paths


def _file_info(out: Path, path: str) -> FileInfo:
    return FileInfo(path, (out / path).stat().st_size, hash_file(out / path))
