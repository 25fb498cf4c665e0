"""Tiles of the patches that pass a filter: squares of single patches, or of cells with the number of patches in them.

Attributes of a square: `n` patches; `s`, the number of the split that has most of them; `k`, row in the index, of a
single patch; `r`, percentage of patches that a run has right, where outcomes are given, of those that it has predicted.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.serve.map.mvt import EXTENT, squares_tile
from bigearth_pipeline.serve.map.places import CELLS_A_TILE, DEPTH, Places, apart

LAYER: Final = "patches"
_MOST_PATCHES: Final = 8_000
"""Patches of a tile that are drawn singly; of more, which lie over each other, cells are drawn."""
UNKNOWN: Final = -1
"""Outcome of a patch that a run has not predicted."""
_MARGIN: Final = 3
"""Cells of `patch_zoom` around a tile in which the middle of a patch may lie that reaches into it: at 70° N a patch has
up to 2.6 cells, where `patch_zoom` is that of 36° to 70° N."""
_NO_SHARE: Final = 255


def patch_tile(
    places: Places,
    tile: tuple[int, int, int],
    chosen: NDArray[np.bool_],
    split: NDArray[np.int64],
    outcome: NDArray[np.int8] | None = None,
) -> bytes:
    """Return a vector tile; empty where no patch lies.

    Args:
        places: of the patches.
        tile: zoom, column and row.
        chosen: (patches,) True for those that pass the filter.
        split: (patches,) number of the split.
        outcome: (patches,) 1 where a run has it right, 0 where wrong, `UNKNOWN` elsewhere.
    """
    zoom, x, y = tile
    if zoom >= places.patch_zoom:
        rows = _reaching(places, tile)
        rows = rows[chosen[rows]]
        if len(rows) <= _MOST_PATCHES:
            return _single(places, tile, rows, split, outcome)
    inside = places.within(zoom, x, y)
    passed = chosen[places.rows[inside]]
    return _cells(tile, places.cells[inside][passed], places.rows[inside][passed], split, outcome)


def _reaching(places: Places, tile: tuple[int, int, int]) -> NDArray[np.int64]:
    """Return the rows of patches that may reach into a tile, ascending: their middle lies in it or near its edge."""
    zoom, x, y = tile
    # Tiles in which a patch has at most half of the side, so that it reaches no farther than into the next one.
    above = max(0, zoom - places.patch_zoom - CELLS_A_TILE + 2)
    rows = np.sort(places.around(zoom - above, x >> above, y >> above))
    positions = places.positions[rows]
    margin = _MARGIN * 2.0 ** (zoom - places.patch_zoom - CELLS_A_TILE)
    inside = np.ones(len(rows), np.bool_)
    for axis, corner in zip(places.points, (x, y), strict=True):
        middles = axis[positions] * 2.0**zoom - corner
        inside &= (middles > -margin) & (middles < 1 + margin)
    return rows[inside]


def _single(
    places: Places,
    tile: tuple[int, int, int],
    rows: NDArray[np.int64],
    split: NDArray[np.int64],
    outcome: NDArray[np.int8] | None,
) -> bytes:
    zoom, x, y = tile
    corners = np.rint((places.corners(rows) * 2**zoom - (x, y)) * EXTENT)
    touches = ((corners.max(1) >= 0) & (corners.min(1) <= EXTENT)).all(1)
    rows = rows[touches]
    attributes = {"n": np.ones(len(rows), np.int64), "s": split[rows], "k": rows}
    if outcome is not None:
        attributes["r"] = np.where(outcome[rows] == UNKNOWN, _NO_SHARE, 100 * outcome[rows].astype(np.int64))
    return squares_tile(LAYER, corners[touches].astype(np.int64), attributes)


def _cells(
    tile: tuple[int, int, int],
    cells: NDArray[np.uint64],
    rows: NDArray[np.int64],
    split: NDArray[np.int64],
    outcome: NDArray[np.int8] | None,
) -> bytes:
    zoom, x, y = tile
    level = min(zoom + CELLS_A_TILE, DEPTH)
    if not len(cells):
        return b""
    numbers = cells >> np.uint64(2 * (DEPTH - level))
    starts = np.flatnonzero(np.diff(numbers, prepend=numbers[0] + np.uint64(1)) != 0)
    counts = np.diff(starts, append=len(numbers))
    column, row = (values.astype(np.int64) for values in apart(numbers[starts]))
    per_tile = 1 << (level - zoom)
    size = EXTENT // per_tile
    left, top = (column - x * per_tile) * size, (row - y * per_tile) * size
    corners = np.stack(
        [np.stack([left + dx, top + dy], 1) for dx, dy in ((0, 0), (size, 0), (size, size), (0, size))], 1
    )
    by_split = [np.add.reduceat(split[rows] == i, starts, dtype=np.int64) for i in range(int(split.max()) + 1)]
    attributes = {"n": counts, "s": np.argmax(by_split, 0)}
    if outcome is not None:
        known = np.add.reduceat(outcome[rows] != UNKNOWN, starts, dtype=np.int64)
        right = np.add.reduceat(outcome[rows] == 1, starts, dtype=np.int64)
        attributes["r"] = np.where(known > 0, 100 * right // np.maximum(known, 1), _NO_SHARE)
    return squares_tile(LAYER, corners, attributes)
