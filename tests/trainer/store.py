"""A small store of synthetic patches whose labels follow from their pixels, so that a network can learn them."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from crc32c import crc32c
from numpy.typing import NDArray

from shards import BANDS, CLASSES, CODECS, RECORD_VALUES, SPLITS, Manifest
from shards.codec.registry import DEFAULT_CODEC
from shards.container.tar import TarShardWriter
from shards.layout.bands import BAND_SLICES
from shards.layout.classes import encode_labels, multi_hot
from shards.layout.statistics import Histograms, band_statistics, histogram_table
from shards.metadata.index import index_schema, write_table
from shards.metadata.manifest import HISTOGRAMS, INDEX, FileInfo, ShardInfo, SplitInfo
from shards.storage.atomic import atomic_write

NUM_CLASSES = 6
"""The first classes of the nomenclature occur; the others have no patch in any split."""
PATCHES_PER_SHARD = 64


def make_store(
    folder: Path,
    counts: dict[str, int],
    seed: int = 0,
    *,
    source_version: str = "v2",
    countries: Sequence[str | None] = ("Ireland",),
    dates: Sequence[datetime] = (datetime(2017, 6, 13),),
    codec: str = DEFAULT_CODEC,
) -> Path:
    """Write a WebDataset store of synthetic patches and return its folder.

    Args:
        folder: where to write; made here.
        counts: patches by split; a split that is not named, or has 0, is absent.
        seed: seed of labels and pixels.
        source_version: version of BigEarthNet that the manifest names.
        countries: patch i of the index is from country i, again and again from the first one.
        dates: likewise when a patch was taken.
        codec: of the records.
    """
    rng = np.random.default_rng(seed)
    # What each class adds to each band.
    spectra = rng.normal(0, 500, (NUM_CLASSES, len(BANDS)))
    (folder / "shards").mkdir(parents=True)
    rows: list[dict[str, Any]] = []
    splits, shards, total = {}, [], np.zeros((len(BANDS), 65_536), np.int64)
    for split in SPLITS:
        count = counts.get(split, 0)
        if not count:
            continue
        present = rng.random((count, NUM_CLASSES)) < 0.3
        histograms = Histograms()
        for start in range(0, count, PATCHES_PER_SHARD):
            name, labels = f"{split}-{start // PATCHES_PER_SHARD:06d}", present[start : start + PATCHES_PER_SHARD]
            new_rows, files = _write_shard(folder, split, name, labels, labels @ spectra, histograms, rng, codec)
            for i, row in enumerate(new_rows, len(rows)):
                row |= {"country": countries[i % len(countries)], "date": dates[i % len(dates)]}
            rows += new_rows
            shards.append(ShardInfo(name, split, len(labels), files))
        total += histograms.counts()
        splits[split] = SplitInfo(
            count=count,
            class_counts=dict.fromkeys(CLASSES, 0) | dict(zip(CLASSES, present.sum(0).tolist(), strict=False)),
            statistics={band: band_statistics(c) for band, c in zip(BANDS, histograms.counts(), strict=True)},
        )
    write_table(pa.Table.from_pylist(rows, schema=index_schema("webdataset")), folder / INDEX)
    write_table(histogram_table(total), folder / HISTOGRAMS)
    Manifest(
        format="webdataset",
        codec=codec,
        source_version=source_version,
        source_bytes=0,
        count=len(rows),
        splits=splits,
        shards=tuple(shards),
        files=tuple(_describe(folder, name) for name in (INDEX, HISTOGRAMS)),
        seed=seed,
        patches_per_shard=PATCHES_PER_SHARD,
    ).write(folder)
    return folder


def _describe(folder: Path, name: str) -> FileInfo:
    content = (folder / name).read_bytes()
    return FileInfo(name, len(content), hashlib.sha256(content).hexdigest())


def _write_shard(
    folder: Path,
    split: str,
    name: str,
    present: NDArray[np.bool_],
    levels: NDArray[np.float64],
    histograms: Histograms,
    rng: np.random.Generator,
    codec: str,
) -> tuple[list[dict[str, Any]], tuple[FileInfo, ...]]:
    """Write a shard of patches with these classes (n, 6) and band levels (n, 12); return index rows and files."""
    rows = []
    with atomic_write(folder / f"shards/{name}.tar") as file:
        writer = TarShardWriter(file)
        for position, (classes, level) in enumerate(zip(present, levels, strict=True)):
            record = histograms.next_record()
            record[:] = rng.integers(0, 300, RECORD_VALUES, np.uint16)
            for place, value in zip(BAND_SLICES.values(), level, strict=True):
                record[place] += np.uint16(max(0, 3000 + value))
            histograms.commit()
            mask = encode_labels(np.array(CLASSES)[:NUM_CLASSES][classes].tolist())
            key, encoded = f"{name}_{position}", CODECS[codec].encode(record)
            rows.append(
                {
                    "key": key,
                    "split": split,
                    "shard": name,
                    "position": position,
                    "s2_offset": writer.add(key, encoded, multi_hot(mask).tobytes(), b"{}"),
                    "s2_length": len(encoded),
                    "s2_crc32c": crc32c(encoded),
                    "label_mask": mask,
                    "epsg": 32629,
                    "ulx": 600_000.0,
                    "uly": 5_900_000.0,
                    "seasonal_snow": False,
                    "cloud_or_shadow": False,
                }
            )
        writer.finish()
    index = writer.write_index(folder / f"shards/{name}.idx", f"shards/{name}.idx")
    return rows, (writer.tar_info(f"shards/{name}.tar"), index)
