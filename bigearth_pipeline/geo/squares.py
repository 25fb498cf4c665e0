"""Squares of patches as geometries."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.geo.points import DEGREES, transformed
from shards.layout.record import PATCH_METRES

_CORNERS: Final = np.array([(0, 0), (0, -1), (1, -1), (1, 0), (0, 0)]) * PATCH_METRES
"""Corners of a square from its upper-left one, counter-clockwise."""
_POLYGON: Final = np.dtype(
    [("order", "u1"), ("kind", "<u4"), ("rings", "<u4"), ("points", "<u4"), ("xy", "<f8", (len(_CORNERS), 2))]
)
"""A polygon of one ring as well-known binary (OGC 06-103r4, 8.2)."""


def squares(ulx: NDArray[np.float64], uly: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the corners of patches in their own systems, (n, 5, 2) metres, from their upper-left corners, (n,)."""
    corners: NDArray[np.float64] = np.stack([ulx, uly], 1)[:, None] + _CORNERS
    return corners


def to_degrees(corners: NDArray[np.float64], epsg: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return longitude and latitude of points, (n, points, 2), that lie in the systems of n codes; NaN for no place."""
    found = np.full(corners.shape, np.nan)
    for code in np.unique(epsg[epsg > 0]).tolist():
        here = epsg == code
        x, y = (corners[here, :, axis].ravel() for axis in (0, 1))
        found[here] = transformed(code, DEGREES, x, y).reshape(-1, corners.shape[1], 2)
    return found


def polygons(corners: NDArray[np.float64]) -> list[bytes | None]:
    """Return squares as well-known binary, None where a place is not known."""
    found = np.empty(len(corners), _POLYGON)
    found["order"], found["kind"], found["rings"], found["points"] = 1, 3, 1, len(_CORNERS)
    found["xy"] = corners
    size, content = _POLYGON.itemsize, found.tobytes()
    known = ~np.isnan(corners[:, 0, 0])
    return [content[i * size : (i + 1) * size] if known[i] else None for i in range(len(corners))]


def bounds(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return west, south, east, north of squares, (n, 4)."""
    return np.concatenate([corners.min(1), corners.max(1)], 1)


def extent(corners: NDArray[np.float64]) -> list[float] | None:
    """Return west, south, east, north of all squares together; None if no place is known."""
    found = bounds(corners)
    found = found[~np.isnan(found[:, 0])]
    return [*found[:, :2].min(0).tolist(), *found[:, 2:].max(0).tolist()] if len(found) else None
