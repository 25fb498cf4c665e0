"""Places of patches on the web map (EPSG:3857), in the order of a curve that fills the plane, so that tiles are ranges.

A web map is a square; its side is 1 here. Tile (z, x, y) is the square of side 2⁻ᶻ whose upper-left corner is (x, y)
times that. Numbers of cells interleave the bits of x and y (Morton, "A computer oriented geodetic data base and a new
technique in file sequencing", 1966), so that the cells of a tile of any zoom are contiguous.
"""

from dataclasses import dataclass
from functools import cached_property
from math import cos, floor, log2, radians
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.geo.points import transformed
from shards.layout.record import PATCH_METRES

WEB_EPSG: Final = 3857
SIDE_METRES: Final = 40_075_016.685578488
"""Side of the map: the circumference of the ellipsoid's equator (EPSG method 1024)."""
DEPTH: Final = 24
"""Zoom whose tiles are the finest cells: 2.4 m at the equator."""
CELLS_A_TILE: Final = 6
"""Zooms from a tile to its cells: 64 cells in a row, of 8 pixels in a tile of 512."""
_MARGIN: Final = 1.2
"""By how much the tiles of a search are larger: axes of UTM are turned by up to 4°, and metres shrink to the poles."""
_EARTH_RADIUS: Final = SIDE_METRES / (2 * np.pi)


@dataclass(frozen=True, eq=False)
class Places:
    """Middles of the patches that have a place on the map.

    Attributes:
        cells: number of the finest cell of each, (n,) uint64 ascending.
        points: x and y of each on the map, each (n,) float64.
        rows: row of each in the index, (n,) int64.
        epsg: system of each patch of the index, (patches,) int32.
        ulx: easting of its upper-left corner, (patches,) float64 metres.
        uly: northing, likewise.
        bounds: west, south, east and north of all in degrees; None where no patch has a place.
        patch_zoom: first zoom of tiles in which each patch is a square of its own: there it has 8 pixels or more.
        num_lost: patches without a place.
    """

    cells: NDArray[np.uint64]
    points: tuple[NDArray[np.float64], NDArray[np.float64]]
    rows: NDArray[np.int64]
    epsg: NDArray[np.int32]
    ulx: NDArray[np.float64]
    uly: NDArray[np.float64]
    bounds: tuple[float, float, float, float] | None
    patch_zoom: int
    num_lost: int

    @classmethod
    def of(cls, epsg: NDArray[np.int32], ulx: NDArray[np.float64], uly: NDArray[np.float64]) -> "Places":
        """Place patches by their upper-left corners."""
        half = PATCH_METRES / 2
        points = web_points(epsg, ulx + half, uly - half)
        has_place = np.isfinite(points).all(1) & (points >= 0).all(1) & (points < 1).all(1)
        rows = np.flatnonzero(has_place)
        placed = points[rows]
        cells = interleaved(*(placed * 2**DEPTH).astype(np.uint64).T)
        order = np.argsort(cells, kind="stable")
        bounds, zoom = None, DEPTH - CELLS_A_TILE
        if len(rows):
            (left, top), (right, bottom) = placed.min(0).tolist(), placed.max(0).tolist()
            bounds = (*degrees(left, bottom), *degrees(right, top))
            zoom = _patch_zoom((bounds[1] + bounds[3]) / 2)
        x, y = np.ascontiguousarray(placed[order].T)
        return cls(cells[order], (x, y), rows[order], epsg, ulx, uly, bounds, zoom, int((~has_place).sum()))

    def within(self, zoom: int, x: int, y: int) -> slice:
        """Return which of `cells` and `rows` lie in a tile."""
        [(begin, end)] = self._ranges(zoom, np.array([[x, y]], np.uint64))
        return slice(begin, end)

    def _ranges(self, zoom: int, tiles: NDArray[np.uint64]) -> list[list[int]]:
        """Return begin and end of tiles, (n, 2) columns and rows, in `cells`."""
        shift = np.uint64(2 * (DEPTH - zoom))
        first = interleaved(tiles[:, 0], tiles[:, 1])
        ends = np.stack([first, first + np.uint64(1)], 1) << shift
        found: list[list[int]] = np.searchsorted(self.cells, ends).tolist()
        return found

    @cached_property
    def positions(self) -> NDArray[np.int64]:
        """Position in `cells` of each patch of the index, (patches,), -1 for one without a place."""
        found = np.full(len(self.epsg), -1, np.int64)
        found[self.rows] = np.arange(len(self.rows))
        return found

    def around(self, zoom: int, x: int, y: int) -> NDArray[np.int64]:
        """Return the rows of patches whose middle lies in a tile or in one beside it, in no order."""
        side = 1 << zoom
        tiles = [(i, j) for i in range(x - 1, x + 2) for j in range(y - 1, y + 2) if 0 <= i < side and 0 <= j < side]
        return np.concatenate([self.rows[begin:end] for begin, end in self._ranges(zoom, np.array(tiles, np.uint64))])

    def degrees_of(self, row: int) -> tuple[float, float] | None:
        """Return longitude and latitude of the middle of a patch; None for one without a place."""
        position = int(self.positions[row])
        return None if position < 0 else degrees(*(float(axis[position]) for axis in self.points))

    def near(self, row: int, metres: float) -> NDArray[np.int64]:
        """Return the rows of all patches with their middle within some metres along each axis, and of some beyond them.

        For a patch without a place there are none.
        """
        position = int(self.positions[row])
        if position < 0:
            return np.empty(0, np.int64)
        x, y = (int(axis[position] * 2.0**DEPTH) for axis in self.points)
        latitude = degrees(x / 2.0**DEPTH, y / 2.0**DEPTH)[1]
        zoom = floor(log2(SIDE_METRES * cos(radians(latitude)) / (_MARGIN * metres)))
        zoom = max(0, min(DEPTH, zoom))
        return self.around(zoom, x >> (DEPTH - zoom), y >> (DEPTH - zoom))

    def corners(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the corners of patches on the map, (n, 4, 2): upper left, upper right, lower right, lower left."""
        steps = np.array([(0, 0), (PATCH_METRES, 0), (PATCH_METRES, -PATCH_METRES), (0, -PATCH_METRES)], np.float64)
        x = (self.ulx[rows, None] + steps[:, 0]).ravel()
        y = (self.uly[rows, None] + steps[:, 1]).ravel()
        return web_points(self.epsg[rows].repeat(4), x, y).reshape(-1, 4, 2)


def web_points(epsg: NDArray[np.int32], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points of several systems on the map, (n, 2) from its upper-left corner; NaN for one without a place."""
    points = np.full((len(x), 2), np.nan)
    for code in np.unique(epsg).tolist():
        members = epsg == code
        points[members] = transformed(code, WEB_EPSG, x[members], y[members])
    return np.stack([0.5 + points[:, 0] / SIDE_METRES, 0.5 - points[:, 1] / SIDE_METRES], 1)


def degrees(x: float, y: float) -> tuple[float, float]:
    """Return longitude and latitude of a point of the map (EPSG method 1024)."""
    latitude = np.degrees(2 * np.arctan(np.exp((0.5 - y) * SIDE_METRES / _EARTH_RADIUS)) - np.pi / 2)
    return round((x - 0.5) * 360, 6), round(float(latitude), 6)


def point_of(longitude: float, latitude: float) -> tuple[float, float]:
    """Return the point of the map at a longitude and latitude, the inverse of `degrees`."""
    angle = np.radians(min(max(latitude, -85.0), 85.0))
    y = 0.5 - np.log(np.tan(np.pi / 4 + angle / 2)) * _EARTH_RADIUS / SIDE_METRES
    return longitude / 360 + 0.5, float(y)


def interleaved(x: NDArray[np.uint64], y: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return numbers whose even bits are those of x and odd bits those of y, both below 2³²."""
    return _spread(x) | (_spread(y) << np.uint64(1))


def apart(numbers: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return x and y of numbers that `interleaved` made."""
    return _gathered(numbers), _gathered(numbers >> np.uint64(1))


_STEPS: Final = (
    (16, 0x0000FFFF0000FFFF),
    (8, 0x00FF00FF00FF00FF),
    (4, 0x0F0F0F0F0F0F0F0F),
    (2, 0x3333333333333333),
    (1, 0x5555555555555555),
)


def _spread(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    found = values.astype(np.uint64)
    for shift, mask in _STEPS:
        found = (found | (found << np.uint64(shift))) & np.uint64(mask)
    return found


def _gathered(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    found = values & np.uint64(_STEPS[-1][1])
    masks = (*(mask for _, mask in _STEPS[-2::-1]), 0x00000000FFFFFFFF)
    for shift, mask in zip((1, 2, 4, 8, 16), masks, strict=True):
        found = (found | (found >> np.uint64(shift))) & np.uint64(mask)
    return found


def _patch_zoom(latitude: float) -> int:
    """Return the first zoom at which a patch is at least as large as a cell of a tile."""
    on_map = PATCH_METRES / cos(radians(latitude)) / SIDE_METRES
    return max(0, min(DEPTH - CELLS_A_TILE, round(-log2(on_map)) - CELLS_A_TILE))
