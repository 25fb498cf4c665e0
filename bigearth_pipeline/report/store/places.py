"""Places of the patches: a map of all, and the part of it that has most patches."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.geo.projection import degrees_of, map_points
from bigearth_pipeline.report.figure.europe import europe
from bigearth_pipeline.report.figure.map import View, draw_map
from bigearth_pipeline.report.page.blocks import Block, Drawing, Figure, Section, Text
from bigearth_pipeline.report.page.numbers import share
from bigearth_pipeline.report.store.contents import Contents
from shards.layout.record import PATCH_METRES
from shards.text.words import counted, listed, patches

_CELLS: Final = 240
"""Cells in a row of the map."""
_LEAST: Final = 600_000.0
"""Metres that the map shows at least from side to side."""
_PART: Final = 60_000.0
"""Metres of a side of the part that is enlarged, at least."""
_VISIBLE: Final = 25
"""Its side is at least this fraction of the map's, so that its frame can be seen."""


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Patches on the map.

    Attributes:
        points: middles of the patches that have a place, (n, 2) metres of the map.
        rows: their rows in the index, (n,) int64.
        split: number of their split, (n,).
        systems: patches by EPSG code, all of them.
        num_lost: patches whose system, or place, is on no map.
    """

    points: NDArray[np.float64]
    rows: NDArray[np.int64]
    split: NDArray[np.int64]
    systems: dict[int, int]
    num_lost: int


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Cells of a grid over the map that hold patches.

    Attributes:
        view: the map, whose lower left corner is that of the first cell.
        side: of a cell, in metres.
        numbers: of the cell of each patch, across and up, (patches, 2).
        corners: lower left corners of the cells, (n, 2) metres.
        counts: patches by cell and split, (n, splits).
    """

    view: View
    side: float
    numbers: NDArray[np.int64]
    corners: NDArray[np.float64]
    counts: NDArray[np.int64]


def find_places(contents: Contents) -> Places:
    """Return where the patches of a store lie on the map."""
    index = contents.store.index
    epsg, left, top = index.column("epsg"), index.column("ulx"), index.column("uly")
    points = np.full((len(contents), 2), np.nan)
    codes, counts = np.unique(epsg, return_counts=True)
    for code in codes.tolist():
        rows = epsg == code
        half = PATCH_METRES / 2
        points[rows] = map_points(code, left[rows] + half, top[rows] - half)
    placed = np.isfinite(points).all(axis=1)
    systems = dict(zip(codes.tolist(), counts.tolist(), strict=True))
    return Places(points[placed], np.flatnonzero(placed), contents.split[placed], systems, int((~placed).sum()))


def in_cells(places: Places, view: View, num_splits: int) -> Cells:
    """Count the patches in cells of a grid, at most `_CELLS` in a row; a cell is not smaller than a patch."""
    side = max(view.width / _CELLS, float(PATCH_METRES))
    numbers = np.floor((places.points - (view.left, view.bottom)) / side).astype(np.int64)
    cells, cell = np.unique(numbers, axis=0, return_inverse=True)
    counts = np.bincount(cell.ravel() * num_splits + places.split, minlength=len(cells) * num_splits)
    corners = np.asarray(cells * side + (view.left, view.bottom), np.float64)
    return Cells(view, side, numbers, corners, counts.reshape(len(cells), num_splits))


def busiest(places: Places, cells: Cells) -> tuple[View, NDArray[np.bool_]]:
    """Return a square of whole cells with many patches, and which patches have their middle in it.

    Of whole cells, for the map shows cells: one that its frame encloses is in the square with all of its patches. Its
    centre is amid the patches of that square of a grid which has most of them.
    """
    count = math.ceil(max(_PART, cells.view.width / _VISIBLE) / cells.side)
    _, square, counts = np.unique(cells.numbers // count, axis=0, return_inverse=True, return_counts=True)
    members = cells.numbers[square.ravel() == counts.argmax()]
    first = (members.min(axis=0) + members.max(axis=0) + 1 - count) // 2
    inside = ((cells.numbers >= first) & (cells.numbers < first + count)).all(axis=1)
    left, bottom = (first * cells.side + (cells.view.left, cells.view.bottom)).tolist()
    side = count * cells.side
    return View(left, bottom, left + side, bottom + side), inside


def places(contents: Contents) -> Section:
    """Return the section."""
    found = find_places(contents)
    blocks: list[Block] = []
    if len(found.points):
        cells = in_cells(found, View.around(found.points, _LEAST), len(contents.splits))
        view, inside = busiest(found, cells)
        has_part = bool(inside.sum() > 1)
        blocks.append(_all(contents, found, cells, view if has_part else None))
        blocks += [_part(contents, found, view, inside)] if has_part else []
    systems = listed([f"EPSG:{code} ({count:,})" for code, count in sorted(found.systems.items())])
    lost = f" {patches(found.num_lost)} cannot be placed on this map." if found.num_lost else ""
    blocks.append(Text(f"Patches by coordinate system of their files: {systems}.{lost}"))
    return Section("places", "Where the patches lie", blocks)


def _all(contents: Contents, found: Places, cells: Cells, part: View | None) -> Figure:
    # A square is larger than its cell, and around its middle, where it would else be too small to see.
    side = max(cells.side, cells.view.width / 130)
    corners = cells.corners - (side - cells.side) / 2
    # A cell has the colour of the split that has most patches there.
    split = cells.counts.argmax(axis=1)
    squares = {name: _squares(corners[split == number], side) for number, name in enumerate(contents.splits)}
    outlines = europe()
    mixed = int(((cells.counts > 0).sum(axis=1) > 1).sum())
    by_split = listed(
        [f"{count:,} {name}" for name, count in zip(contents.splits, cells.counts.sum(axis=0).tolist(), strict=True)]
    )
    if len(cells.counts) == 1:
        several = f"all lie in one cell of {cells.side / 1000:.1f} km"
    else:
        several = (
            f"they fill {len(cells.counts):,} cells of {cells.side / 1000:.1f} km, of which {mixed:,} "
            f"({share(mixed, len(cells.counts))}) hold patches of several splits"
        )
    caption = (
        f"{patches(len(found.points))} ({by_split}) in ETRS89-LAEA (EPSG:3035): {several}. A cell has the colour of "
        f"the split with most patches in it. Land and borders: {outlines.origin.partition(',')[0]}."
    )
    caption += (
        "" if part is None else " The frame is around a part with many patches, which is drawn larger on the page."
    )
    drawing = draw_map(
        "map", "Map of the patches by split", cells.view, squares, outlines, colours=contents.colours, frame=part
    )
    return Figure("map", caption, (Drawing(drawing),))


def _squares(corners: NDArray[np.float64], side: float) -> NDArray[np.float64]:
    """Return squares as (n, 4, 2) metres of their lower left corners, (n, 2) metres."""
    square = np.array([(0.0, 0.0), (side, 0.0), (side, side), (0.0, side)])
    return np.asarray(corners[:, None] + square, np.float64)


def _patches(contents: Contents, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the corners of patches on the map, (n, 4, 2) metres: turned a little, as their grids are."""
    index = contents.store.index
    epsg = index.column("epsg")[rows]
    corners = np.stack([index.column("ulx")[rows], index.column("uly")[rows] - PATCH_METRES], axis=1)
    squares = _squares(corners, PATCH_METRES)
    for code in np.unique(epsg).tolist():
        members = squares[epsg == code].reshape(-1, 2)
        squares[epsg == code] = map_points(code, members[:, 0], members[:, 1]).reshape(-1, 4, 2)
    return squares


def _part(contents: Contents, found: Places, view: View, inside: NDArray[np.bool_]) -> Figure:
    outlines, split = _patches(contents, found.rows[inside]), found.split[inside]
    squares = {name: outlines[split == number] for number, name in enumerate(contents.splits)}
    counts = listed([f"{len(members):,} {name}" for name, members in squares.items()])
    _, where = np.unique(np.round(found.points[inside] / 10).astype(np.int64), axis=0, return_counts=True)
    repeated = int((where > 1).sum())
    again = f" {counted(repeated, 'place')} of these have patches of several dates." if repeated else ""
    middle = degrees_of((view.left + view.right) / 2, (view.bottom + view.top) / 2)
    countries = contents.store.index.table["country"].take(found.rows[inside]).drop_null().to_pylist()
    place = ", ".join([middle, *([max(sorted(set(countries)), key=countries.count)] if countries else [])])
    size = f"{view.width / 1000:.0f} km"
    caption = (
        f"The {size} × {size} around {place}, which hold many patches: {patches(len(outlines))} ({counts}), each at "
        f"its size. Splits whose patches touch share what neighbours have in common.{again}"
    )
    title = f"Patches by split around {place}"
    drawing = draw_map("map-part", title, view, squares, None, colours=contents.colours, label=f"around {place}")
    return Figure("map-part", caption, (Drawing(drawing),))
