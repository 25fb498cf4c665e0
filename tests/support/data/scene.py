"""Patches cut from a real scene and written by GDAL in the layout of BigEarthNet v2."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import rasterio
from affine import Affine
from numpy.typing import NDArray

from shards.layout.bands import BAND_SLICES, GROUP_OF
from shards.layout.classes import CLASSES

PRODUCT = "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP"
_SPLITS = ("train", "train", "validation", "test")


def scene_records(scene: Path, patches: int) -> NDArray[np.uint16]:
    """Return records of windows at different places of the scene, (patches, 80000) uint16."""
    bands = {}
    for band in BAND_SLICES:
        with rasterio.open(scene / f"{band}.tif") as source:
            bands[band] = source.read(1)
    rng = np.random.default_rng(7)
    # Offsets in 60 m pixels: the windows of the three resolutions line up there.
    places = rng.choice((178 - 20) ** 2, patches, replace=False)
    records = np.empty((patches, 80_000), np.uint16)
    for record, place in zip(records, places.tolist(), strict=True):
        row, column = divmod(place, 178 - 20)
        for band, values in BAND_SLICES.items():
            size = GROUP_OF[band].size
            top, left = row * size // 20, column * size // 20
            record[values] = bands[band][top : top + size, left : left + size].ravel()
    return records


def write_band(path: Path, pixels: NDArray[np.uint16], metres: int, ulx: float, uly: float, **options: object) -> None:
    """Write a band file with GDAL; without options it is of the kind that BigEarthNet v2 has."""
    profile = {"driver": "GTiff", "height": pixels.shape[0], "width": pixels.shape[1], "count": 1}
    profile |= {"dtype": pixels.dtype.name, "crs": "EPSG:32633", "nodata": 0}
    profile |= {"transform": Affine(metres, 0, ulx, 0, -metres, uly)}
    with rasterio.open(path, "w", **{**profile, **options}) as target:
        target.write(pixels, 1)


def write_patch(folder: Path, key: str, record: NDArray[np.uint16], ulx: float, uly: float, **options: object) -> None:
    """Write the twelve band files of a patch into `folder`/`key`."""
    (folder / key).mkdir(parents=True)
    for band, values in BAND_SLICES.items():
        group = GROUP_OF[band]
        pixels = record[values].reshape(group.size, group.size)
        write_band(folder / key / f"{key}_{band}.tif", pixels, group.metres, ulx, uly, **options)


def write_table(path: Path, keys: list[str], **columns: list[object]) -> None:
    """Write a table with v2's columns; labels, splits and flags are made up unless given."""
    number = range(len(keys))
    table = {
        "patch_id": keys,
        "labels": [sorted({CLASSES[i % 19], CLASSES[(i * 7 + 3) % 19]}) for i in number],
        "split": [_SPLITS[i % 4] for i in number],
        "country": ["Austria" for _ in number],
        "s1_name": [f"S1_{i}" for i in number],
        "s2v1_name": [f"V1_{i}" for i in number],
        "contains_seasonal_snow": [False for _ in number],
        "contains_cloud_or_shadow": [False for _ in number],
    }
    pq.write_table(pa.table(table | columns), path)


def write_scene_tree(scene: Path, folder: Path, patches: int) -> None:
    """Write windows of the scene as a v2 tree with its table; every tenth patch is of another kind of TIFF."""
    records = scene_records(scene, patches)
    keys = [f"{PRODUCT}_{i // 20:02d}_{i % 20:02d}" for i in range(patches)]
    for i, (key, record) in enumerate(zip(keys, records, strict=True)):
        options = [{"compress": "deflate"}, {"tiled": True, "blockxsize": 64, "blockysize": 64}, {"endianness": "big"}]
        chosen = options[i // 10 % 3] if i % 10 == 0 else {}
        write_patch(folder / "BigEarthNet-S2" / PRODUCT, key, record, 390_000 + 1200 * i, 5_348_400, **chosen)
    write_table(folder / "metadata.parquet", keys)
