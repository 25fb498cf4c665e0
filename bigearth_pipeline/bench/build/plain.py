"""A plain converter: bands read with rasterio, written with `webdataset.ShardWriter`; no statistics, no checksums."""

import io
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from bigearth_pipeline.spawned import SpawnedWorkers
from shards.layout.bands import GROUPS

_PATCHES: Final = 512


def measure_plain(items: Sequence[tuple[str, str]], folder: Path, workers: int) -> float:
    """Return the rate of the plain converter in patches per second."""
    items = items[:_PATCHES]
    folder.mkdir()
    parts = [items[i::workers] for i in range(workers)]
    with SpawnedWorkers(workers) as pool:
        pool.each(_convert_plainly, [(part[:2], folder / f"warm{i}") for i, part in enumerate(parts)])
        started = time.perf_counter()
        pool.each(_convert_plainly, [(part, folder / f"part{i}") for i, part in enumerate(parts)])
        seconds = time.perf_counter() - started
    shutil.rmtree(folder)
    return len(items) / seconds


def _convert_plainly(task: tuple[Sequence[tuple[str, str]], Path]) -> None:
    items, prefix = task
    import rasterio
    import webdataset

    with (
        rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"),
        webdataset.ShardWriter(f"{prefix}-%05d.tar", maxcount=2048, verbose=0) as writer,
    ):
        for key, folder in items:
            sample: dict[str, Any] = {"__key__": key, "json": {"key": key, "labels": []}}
            for group in GROUPS:
                bands = []
                for band in group.bands:
                    with rasterio.open(f"{folder}/{key}_{band}.tif") as source:
                        bands.append(source.read(1))
                content = io.BytesIO()
                np.save(content, np.stack(bands))
                sample[f"{group.name}.npy"] = content.getvalue()
            writer.write(sample)
