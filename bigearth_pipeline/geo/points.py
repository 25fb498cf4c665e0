"""Points from one coordinate reference system to another."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.source.tiff.gdal import check_proj

DEGREES: Final = 4326
"""Longitude and latitude on WGS 84."""
_MOST: Final = 2e7
"""Of a coordinate: half of the earth's circumference in metres; degrees are always less."""


def transformed(epsg: int, target: int, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points in another system, (n, 2) float64; NaN for a point that has no place in it.

    Args:
        epsg: system that they are given in; one that PROJ does not know gives no place for any of them.
        target: system that they are wanted in.
        x: (n,) easting in metres, or longitude in degrees.
        y: (n,) northing in metres, or latitude in degrees.

    Raises:
        PipelineError: PROJ does not work in this environment.
    """
    from rasterio import Env
    from rasterio.crs import CRS
    from rasterio.warp import transform

    check_proj()
    points = np.full((len(x), 2), np.nan)
    usable = (np.abs(x) < _MOST) & (np.abs(y) < _MOST)
    try:
        # Within an environment GDAL does not write errors to stderr by itself.
        with Env():
            found = transform(CRS.from_epsg(epsg), CRS.from_epsg(target), x[usable], y[usable])
    except Exception:
        # Any exception: rasterio raises many classes for systems that PROJ does not know and places that it refuses.
        return points
    points[usable] = np.stack([np.asarray(axis, np.float64) for axis in found[:2]], axis=1)
    points[~(np.abs(points) < _MOST).all(axis=1)] = np.nan
    return points


def projjson(epsg: int) -> dict[str, Any]:
    """Return a system as PROJJSON.

    Raises:
        PipelineError: PROJ does not work in this environment.
    """
    from rasterio.crs import CRS

    check_proj()
    found: dict[str, Any] = CRS.from_epsg(epsg).to_dict(projjson=True)
    return found
