"""Patches beside a patch."""

from typing import Final

import numpy as np

from bigearth_pipeline.serve.contents.stores import OpenStore
from shards.layout.record import PATCH_METRES

_REACH: Final = 1.5 * PATCH_METRES
"""Metres from corner to corner along each axis: the eight patches around a patch, and itself at other times."""
MOST: Final = 24


def neighbours(store: OpenStore, row: int) -> list[tuple[int, int, int]]:
    """Return (row, columns to the east, rows to the south) of patches around a patch, the nearest first.

    Patches of one place at several dates all count, those near in time first.
    """
    index = store.store.index
    epsg, ulx, uly = (index.column(name) for name in ("epsg", "ulx", "uly"))
    near = np.sort(store.places.near(row, _REACH))
    near = near[(near != row) & (epsg[near] == epsg[row])]
    east, south = ulx[near] - ulx[row], uly[row] - uly[near]
    is_near = (np.abs(east) < _REACH) & (np.abs(south) < _REACH)
    near, steps = near[is_near], np.stack([east[is_near], south[is_near]], 1)
    date = index.table["date"]
    days = date.take(near).cast("int64").to_numpy() - date[row].cast("int64").as_py()
    steps = np.rint(steps / PATCH_METRES).astype(np.int64)
    order = np.lexsort((np.abs(days), np.abs(steps).sum(1)))[:MOST]
    return [(int(near[i]), int(steps[i, 0]), int(steps[i, 1])) for i in order]
