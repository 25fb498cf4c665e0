"""The projection of maps: ETRS89-LAEA Europe (EPSG:3035), in which equal areas on the ground are equal on the page."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.geo.points import DEGREES, transformed

MAP_EPSG: Final = 3035
"""ETRS89-extended / LAEA Europe, which the European Environment Agency uses for statistical maps."""


def degrees_of(x: float, y: float) -> str:
    """Return a point of the map, in metres, as latitude and longitude, such as `60.17° N 24.94° E`."""
    [(longitude, latitude)] = transformed(MAP_EPSG, DEGREES, np.array([x]), np.array([y])).tolist()
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
    return transformed(epsg, MAP_EPSG, x, y)
