"""A scene of the patches of a store: side by side, as Sentinel-2's band files."""

from pathlib import Path
from typing import Final

import numpy as np
import rasterio
from affine import Affine

import shards
from shards.layout.bands import BANDS, GROUP_OF

CORNER: Final = (399_960.0, 5_500_020.0)
"""Upper-left corner of the scene, in metres of EPSG:32633."""


def write_scene(store: Path, folder: Path, height: int, width: int, **creation: object) -> Path:
    """Write patches of the test split side by side as the band files of a scene, Cloud Optimized GeoTIFFs.

    Patches repeat where the split has too few; those at the lower and right edge are cut where the scene ends.

    Args:
        store: a store with the split "test".
        folder: the new folder of the scene.
        height: of the scene, in pixels of 10 m, a multiple of 6 as sides of bands of 60 m need it.
        width: likewise.
        creation: further options of GDAL's driver, such as `compress="DEFLATE", predictor="YES"`; LZW by itself.

    Returns:
        folder.

    Raises:
        FileExistsError: folder is there.
    """
    folder.mkdir()
    rows, columns = -(-height // 120), -(-width // 120)
    with shards.open(store) as opened:
        split = opened.index.rows("test")
        patches = [opened.read(int(row)) for row in split[: rows * columns]]
    places = np.resize(np.arange(len(patches)), rows * columns)
    for band in BANDS:
        size, metres = GROUP_OF[band].size, GROUP_OF[band].metres
        pixels = np.stack([patch.band(band) for patch in patches])[places].reshape(rows, columns, size, size)
        pixels = pixels.transpose(0, 2, 1, 3).reshape(rows * size, columns * size)
        pixels = pixels[: height * 10 // metres, : width * 10 // metres]
        transform = Affine(metres, 0, CORNER[0], 0, -metres, CORNER[1])
        profile = {"driver": "COG", "dtype": "uint16", "count": 1, "crs": "EPSG:32633", "transform": transform}
        profile |= creation
        path = folder / f"{band}.tif"
        with rasterio.open(path, "w", height=pixels.shape[0], width=pixels.shape[1], **profile) as target:
            target.write(pixels, 1)
    return folder
