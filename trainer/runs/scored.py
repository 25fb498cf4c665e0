"""The patches that the scores of a run are of: scores of two runs compare only where these are the same."""

import hashlib
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shards import Index

SCORED: Final = "scored"
"""Key of the description of a run: what `patches_digest` returns, by split. Old runs have none."""


def patches_digest(index: Index, rows: NDArray[np.int64], labels: NDArray[np.uint8]) -> str:
    """Return the SHA-256 of the keys and labels of patches, in any order; the format of their store does not count.

    Args:
        index: of the store.
        rows: (n,) of the patches.
        labels: (patches of the store, C) of 0 and 1.
    """
    keys = pc.take(index.table["key"], pa.array(rows)).combine_chunks()
    order = pc.sort_indices(keys)
    found = hashlib.sha256("\n".join(keys.take(order).to_pylist()).encode())
    found.update(np.packbits(labels[rows[order.to_numpy()]] > 0, axis=1).tobytes())
    return found.hexdigest()
