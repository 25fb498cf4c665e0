"""The end of a build: the parts that the shards left are merged into index, histograms, Zarr metadata and manifest."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from bigearth_pipeline.plan import ShardPlan
from bigearth_pipeline.shard_task import ShardOptions, ShardResult
from shards.arrow import dictionary_array
from shards.bands import BANDS
from shards.classes import CLASSES
from shards.codec import get_codec
from shards.index import Index, index_schema, read_table, write_table
from shards.manifest import (
    HISTOGRAMS,
    INDEX,
    SPLITS,
    FileInfo,
    Manifest,
    ShardInfo,
    SplitInfo,
)
from shards.statistics import BINS, band_statistics, histogram_counts, histogram_table


def finish_store(
    plan: Sequence[ShardPlan],
    results: dict[str, ShardResult],
    options: ShardOptions,
    *,
    source_version: str,
    seed: int,
    left_out: dict[str, int],
    offset: str = "none",
) -> Manifest:
    """Merge what the shards left, write all files that describe the store, the manifest last, and return it."""
    _remove_surplus(plan, options)
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
    manifest.write(options.out)
    return manifest


def _remove_surplus(plan: Sequence[ShardPlan], options: ShardOptions) -> None:
    """Remove shards that an earlier plan had and this one has not: filling holes can empty a split's last shard."""
    names = {shard.name for shard in plan}
    for note in options.work.glob("*.json"):
        if note.stem not in names:
            for file in ShardInfo.from_json(json.loads(note.read_bytes())["shard"]).files:
                (options.out / file.path).unlink(missing_ok=True)
            note.unlink()


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
    from shards.zarr_store import write_root, write_split

    attributes: dict[str, Any] = {**_COMMON, "bands": list(BANDS), "classes": list(CLASSES)}
    write_root(options.out, attributes)
    keys = index.table["key"].to_pylist()
    labels = index.labels()
    for split, info in splits.items():
        rows = index.rows(split)
        statistics = {band: statistic.to_json() for band, statistic in info.statistics.items()}
        shutil.rmtree(options.out / split / "labels", ignore_errors=True)
        shutil.rmtree(options.out / split / "key", ignore_errors=True)
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
        for split in splits:
            small = [path for name in ("labels", "key") for path in (options.out / split / name).rglob("*")]
            metadata = [options.out / split / "zarr.json", *(options.out / split).glob("b*/zarr.json")]
            paths += sorted(str(path.relative_to(options.out)) for path in small + metadata if path.is_file())
    return paths


def _file_info(out: Path, path: str) -> FileInfo:
    with open(out / path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileInfo(path, (out / path).stat().st_size, digest)
