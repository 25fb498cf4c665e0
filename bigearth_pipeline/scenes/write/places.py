"""Places of patches: squares as geometries, in one coordinate reference system."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.scenes.work.units import UnitResult
from shards.layout.record import PATCH_METRES

_CORNERS: Final = np.array([(0, 0), (0, -1), (1, -1), (1, 0), (0, 0)]) * PATCH_METRES
"""Corners of a square from its upper-left one, counter-clockwise."""
_POLYGON: Final = np.dtype(
    [("order", "u1"), ("kind", "<u4"), ("rings", "<u4"), ("points", "<u4"), ("xy", "<f8", (len(_CORNERS), 2))]
)
"""A polygon of one ring as well-known binary (OGC 06-103r4, 8.2)."""


@dataclass(frozen=True, slots=True)
class System:
    """Coordinate reference system of a table.

    Attributes:
        epsg: code of the projected system that all patches lie in; None for longitude and latitude on WGS 84.
    """

    epsg: int | None

    @property
    def projjson(self) -> dict[str, Any] | None:
        """PROJJSON of the system; None for longitude and latitude, which GeoParquet takes where nothing is said."""
        if self.epsg is None:
            return None
        from rasterio.crs import CRS

        found: dict[str, Any] = CRS.from_epsg(self.epsg).to_dict(projjson=True)
        return found

    def squares(self, unit: UnitResult) -> NDArray[np.float64]:
        """Return the corners of patches, (n, 5, 2), NaN where a place is not known."""
        corners = np.stack([unit.ulx, unit.uly], 1)[:, None] + _CORNERS
        return corners if self.epsg is not None else to_degrees(corners, unit.epsg)


def to_degrees(corners: NDArray[np.float64], epsg: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return longitude and latitude of points, (n, points, 2), that lie in the systems of n codes."""
    from rasterio.crs import CRS
    from rasterio.warp import transform

    found = np.full(corners.shape, np.nan)
    for code in np.unique(epsg[epsg > 0]).tolist():
        here = epsg == code
        x, y = (corners[here, :, axis].ravel() for axis in (0, 1))
        lon, lat = transform(CRS.from_epsg(code), CRS.from_epsg(4326), x, y)
        found[here] = np.stack([lon, lat], 1).reshape(-1, corners.shape[1], 2)
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
