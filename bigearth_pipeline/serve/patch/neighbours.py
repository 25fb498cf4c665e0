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
    east, south = ulx - ulx[row], uly[row] - uly
    near = np.flatnonzero((np.abs(east) < _REACH) & (np.abs(south) < _REACH) & (epsg == epsg[row]))
    near = near[near != row]
    date = index.table["date"].cast("int64").take(near).to_numpy()
    own = index.table["date"].cast("int64")[row].as_py()
    steps = np.rint(np.stack([east[near], south[near]], 1) / PATCH_METRES).astype(np.int64)
    order = np.lexsort((np.abs(date - own), np.abs(steps).sum(1)))[:MOST]
    return [(int(near[i]), int(steps[i, 0]), int(steps[i, 1])) for i in order]
