"""The map of a scene as a Cloud Optimized GeoTIFF: one band a class, with names, scale and overviews."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.scenes.grid.scene import CELL_METRES, Scene
from bigearth_pipeline.scenes.work.units import WORK_FILES
from bigearth_pipeline.scenes.write.blend import NODATA, SCALE
from bigearth_pipeline.source.tiff.gdal import cause
from shards.storage.atomic import sync_folder
from shards.storage.names import named

BLOCK: Final = 256
_COG: Final = {
    "driver": "COG",
    "compress": "DEFLATE",
    "level": 9,
    "blocksize": BLOCK,
    "overview_resampling": "AVERAGE",
    "bigtiff": "IF_SAFER",
    "num_threads": 1,
}


def write_cog(
    path: Path,
    work: Path,
    scene: Scene,
    classes: Sequence[str],
    strips: Iterator[NDArray[np.uint8]],
    tags: Mapping[str, str],
) -> None:
    """Write the map, whole or not at all.

    Args:
        path: of the map.
        work: folder for what is not finished.
        scene: whose grid the map has, with pixels of 60 m.
        classes: names of the bands.
        strips: (classes, rows, columns) from north to south.
        tags: of the file.

    Raises:
        PipelineError: it cannot be written.
        OSError: the disk has no room for it.
    """
    import rasterio
    from rasterio.shutil import copy

    plain, finished = (work / name for name in WORK_FILES)
    with named(path):
        _check_room(plain, len(classes) * (-(-scene.rows // BLOCK)) * (-(-scene.columns // BLOCK)) * BLOCK**2)
    try:
        with rasterio.open(plain, "w", **_profile(scene, len(classes))) as target:
            target.descriptions = tuple(classes)
            target.scales = (1 / SCALE,) * len(classes)
            target.offsets = (0.0,) * len(classes)
            target.update_tags(**tags)
            row = 0
            for strip in strips:
                target.write(strip, window=((row, row + strip.shape[1]), (0, scene.columns)))
                row += strip.shape[1]
        copy(str(plain), str(finished), **_COG)
        with open(finished, "rb") as file:
            os.fsync(file.fileno())
        os.replace(finished, path)
        sync_folder(path.parent)
    except Exception as err:
        # GDAL says what the system says as text: a full disk, for one.
        raise PipelineError(f"{path} cannot be written: {cause(err)}") from err
    finally:
        plain.unlink(missing_ok=True)
        finished.unlink(missing_ok=True)


def _check_room(plain: Path, pixels: int) -> None:
    """Check that the disk takes the plain map, and the finished one with its overviews, a byte a pixel at most.

    On a full disk GDAL's TIFF library prints a line for each block, past all that takes GDAL's messages, and its error
    does not say why.

    Args:
        plain: file that can be written and deleted.
        pixels: of all bands of the plain map.

    Raises:
        OSError: there is no room.
    """
    if not hasattr(os, "posix_fallocate"):  # As on macOS.
        return
    try:
        with open(plain, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, pixels + pixels * 4 // 3)
    finally:
        plain.unlink(missing_ok=True)


def _profile(scene: Scene, count: int) -> dict[str, Any]:
    from rasterio import Affine

    return {
        "driver": "GTiff",
        "dtype": "uint8",
        "count": count,
        "height": scene.rows,
        "width": scene.columns,
        "nodata": NODATA,
        "crs": f"EPSG:{scene.epsg}",
        "transform": Affine(CELL_METRES, 0, scene.ulx, 0, -CELL_METRES, scene.uly),
        "tiled": True,
        "blockxsize": BLOCK,
        "blockysize": BLOCK,
        "interleave": "band",
        "bigtiff": "IF_SAFER",
    }
