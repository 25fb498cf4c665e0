"""The projection of maps: ETRS89-LAEA Europe (EPSG:3035), in which equal areas on the ground are equal on the page."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.source.tiff.gdal import check_proj

MAP_EPSG: Final = 3035
"""ETRS89-extended / LAEA Europe, which the European Environment Agency uses for statistical maps."""
_DEGREES: Final = 4326
"""Longitude and latitude on WGS 84."""
_MOST_METRES: Final = 2e7
"""Of a coordinate: half of the earth's circumference."""


def degrees_of(x: float, y: float) -> str:
    """Return a point of the map, in metres, as latitude and longitude, such as `60.17° N 24.94° E`."""
    from rasterio import Env
    from rasterio.crs import CRS
    from rasterio.warp import transform

    check_proj()
    with Env():
        (longitude,), (latitude,) = transform(CRS.from_epsg(MAP_EPSG), CRS.from_epsg(_DEGREES), [x], [y])[:2]
    north, east = "N" if latitude >= 0 else "S", "E" if longitude >= 0 else "W"
    return f"{abs(latitude):.2f}° {north} {abs(longitude):.2f}° {east}"


def map_points(epsg: int, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points in metres of the map, (n, 2) float64; NaN for a point that has no place on it.

    Args:
        epsg: system that they are given in; one that PROJ does not know gives no place for any of them.
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
    usable = (np.abs(x) < _MOST_METRES) & (np.abs(y) < _MOST_METRES)
    try:
        # Within an environment GDAL does not write errors to stderr by itself.
        with Env():
            found = transform(CRS.from_epsg(epsg), CRS.from_epsg(MAP_EPSG), x[usable], y[usable])
    except Exception:
        # Any exception: rasterio raises many classes for systems that PROJ does not know and places that it refuses.
        return points
    points[usable] = np.stack([np.asarray(axis, np.float64) for axis in found[:2]], axis=1)
    points[~(np.abs(points) < _MOST_METRES).all(axis=1)] = np.nan
    return points
