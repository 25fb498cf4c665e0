"""The end of a store: what its shards left is merged into index, histograms, Zarr metadata and, last, the manifest."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from shards.codec.registry import get_codec
from shards.errors import InvalidValue
from shards.layout.bands import BANDS
from shards.layout.classes import CLASSES, FORTY_THREE
from shards.layout.statistics import BINS, band_statistics, histogram_counts, histogram_table
from shards.metadata.entries import SPLITS, ShardInfo, SplitInfo
from shards.metadata.index import Index, index_schema, read_table, write_table
from shards.metadata.manifest import BUILD_NOTE, HISTOGRAMS, INDEX, Manifest
from shards.metadata.seal import sealed
from shards.runtime.arrow import dictionary_array
from shards.storage.atomic import atomic_write, sync_file, sync_names
from shards.storage.names import named
from shards.storage.safe_open import resolve_inside
from shards.write.checksums import describe_file
from shards.write.contents import look, note_paths, shard_name, shard_paths
from shards.write.options import StoreOptions


def finish_store(
    options: StoreOptions,
    shards: Sequence[ShardInfo],
    *,
    source_version: str,
    seed: int,
    source_bytes: int,
    left_out: dict[str, int],
    offset: str = "none",
    synthetic: bool = False,
    note: Mapping[str, Any] | None = None,
) -> Manifest:
    """Merge what the shards left, write all files that describe the store, the manifest last, and return it.

    Of what the shards left, only the rows of the index are in memory all at once: some 200 bytes a patch.

    Args:
        options: what all shards have in common.
        shards: what their writers left in `info`, by split (train, validation, test) and number.
        source_version: version of BigEarthNet.
        seed: of the shuffle.
        source_bytes: bytes of the band files that the patches came from.
        left_out: patches that are not in the store, by reason.
        offset: what was done about the radiometric offset, `auto` or `none`.
        synthetic: the patches were drawn by chance.
        note: what `build.json` shall say; None for a store without one.

    Raises:
        InvalidValue: a shard is absent, or another than the last of its split is not full.
    """
    _check_numbers(options, shards)
    remove_surplus(options, {shard.name for shard in shards})
    parts = [read_table(note_paths(options.work, shard.name)[1]) for shard in shards]
    table = (
        pa.concat_tables(parts)
        .cast(index_schema(options.format, options.layout, options.optional_columns))
        .unify_dictionaries()
        .combine_chunks()
    )
    write_table(table, options.folder / INDEX)
    index = Index(table)
    splits = _describe_splits(options, shards, index)
    if options.format == "zarr":
        with named(options.folder):
            _write_zarr(options, index, splits)
            _sync_zarr(options, splits)
    manifest = Manifest(
        format=options.format,
        codec=options.codec,
        source_version=source_version,
        count=len(index),
        splits=splits,
        shards=tuple(shards),
        files=tuple(describe_file(options.folder, path) for path in _described(options, splits)),
        seed=seed,
        patches_per_shard=options.patches_per_shard,
        source_bytes=source_bytes,
        left_out=left_out,
        offset=offset,
        layout=options.layout,
        synthetic=synthetic,
        classes43=FORTY_THREE.names if options.labels43 else (),
    )
    if note is not None:
        with atomic_write(options.folder / BUILD_NOTE) as file:
            file.write(json.dumps(sealed(dict(note)), indent=1).encode() + b"\n")
    manifest.write(options.folder)
    return manifest


def _check_numbers(options: StoreOptions, shards: Sequence[ShardInfo]) -> None:
    """Make sure that the place of a patch in its split follows from its place in its shard, as in a Zarr array.

    Raises:
        InvalidValue: it does not.
    """
    if not shards:
        raise InvalidValue(f"{options.folder} has no shard, expected one at least")
    of_split = {split: [shard for shard in shards if shard.split == split] for split in SPLITS}
    if [shard for split in SPLITS for shard in of_split[split]] != list(shards):
        raise InvalidValue(f"shards of {options.folder} are not in the order {', '.join(SPLITS)}")
    for split, members in of_split.items():
        for number, shard in enumerate(members):
            if shard.name != shard_name(split, number):
                raise InvalidValue(f"{options.folder} lacks shard {shard_name(split, number)}; it has {shard.name}")
            if shard.count != options.patches_per_shard and shard is not members[-1]:
                raise InvalidValue(
                    f"shard {shard.name} holds {shard.count} patches, expected {options.patches_per_shard}; "
                    f"only the last shard of a split may be smaller"
                )


def remove_surplus(options: StoreOptions, names: set[str]) -> None:
    """Remove written shards that are none of these: filling the holes of bad patches can empty a split's last shard.

    Which files a shard has follows from its name. What its note says of them is not asked.
    """
    for name in look(options.folder, options.format, layout=options.layout).notes - names:
        split, _, number = name.rpartition("-")
        for relative in shard_paths(options.format, split, int(number), options.layout):
            if path := resolve_inside(options.folder, relative):
                path.unlink(missing_ok=True)
        for path in note_paths(options.work, name):
            path.unlink(missing_ok=True)


def _describe_splits(options: StoreOptions, shards: Sequence[ShardInfo], index: Index) -> dict[str, SplitInfo]:
    labels = index.labels()
    splits = {}
    tables = []
    for split in SPLITS:
        members = [shard for shard in shards if shard.split == split]
        if not members:
            continue
        counts = np.zeros((len(BANDS), BINS), np.int64)
        for shard in members:
            counts += histogram_counts(read_table(note_paths(options.work, shard.name)[2]))
        rows = index.rows(split)
        class_counts = labels[rows].sum(axis=0, dtype=np.int64).tolist()
        splits[split] = SplitInfo(
            count=len(rows),
            class_counts=dict(zip(CLASSES, class_counts, strict=True)),
            statistics={band: band_statistics(counts[i]) for i, band in enumerate(BANDS)},
        )
        table = histogram_table(counts)
        tables.append(table.add_column(0, "split", dictionary_array([split] * len(table))))
    write_table(pa.concat_tables(tables).unify_dictionaries(), options.folder / HISTOGRAMS)
    return splits


_COMMON: Final = {"source": "BigEarthNet Sentinel-2", "dtype": "uint16", "nodata": 0}


def _write_zarr(options: StoreOptions, index: Index, splits: dict[str, SplitInfo]) -> None:
    from shards.container.zarr import write_root, write_split

    attributes: dict[str, Any] = {**_COMMON, "bands": list(BANDS), "classes": list(CLASSES)}
    write_root(options.folder, attributes)
    keys = index.table["key"].to_pylist()
    labels = index.labels()
    for split, info in splits.items():
        rows = index.rows(split)
        statistics = {band: statistic.to_json() for band, statistic in info.statistics.items()}
        for path in look(options.folder, options.format, len(rows), options.layout).files:
            if path.startswith((f"{split}/labels/", f"{split}/key/")):
                (options.folder / path).unlink()
        write_split(
            options.folder,
            split,
            keys=[keys[row] for row in rows.tolist()],
            labels=labels[rows],
            patches_per_shard=options.patches_per_shard,
            codec=get_codec(options.codec),
            layout=options.layout,
            attributes={**attributes, "class_counts": info.class_counts, "statistics": statistics},
        )


def _sync_zarr(options: StoreOptions, splits: dict[str, SplitInfo]) -> None:
    """Make durable what zarr-python wrote, before the manifest says that it is there."""
    paths = [path for path in _described(options, splits) if path not in (INDEX, HISTOGRAMS)]
    for path in paths:
        sync_file(options.folder / path)
    sync_names(options.folder, paths)


def _described(options: StoreOptions, splits: dict[str, SplitInfo]) -> list[str]:
    """Return the paths of all files that are neither shards nor the manifest."""
    paths = [INDEX, HISTOGRAMS]
    if options.format == "zarr":
        paths.append("zarr.json")
        patches = sum(info.count for info in splits.values())
        found = look(options.folder, options.format, patches, options.layout).files
        for split in splits:
            tables = (f"{split}/labels/", f"{split}/key/")
            paths += sorted(
                path
                for path in found
                if path.startswith(tables) or (path.startswith(f"{split}/") and path.endswith("/zarr.json"))
            )
    return paths
