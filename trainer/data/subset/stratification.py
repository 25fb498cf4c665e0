"""A fraction of the patches in which every class keeps its share."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from trainer.data.random import bits

# What draws are for: names as numbers, so that no two purposes share one.
_FRACTION: Final = int.from_bytes(b"fraction")
_OFFSET: Final = int.from_bytes(b"offset")


def stratified(rows: NDArray[np.int64], labels: NDArray[np.uint8], fraction: float, seed: int) -> NDArray[np.int64]:
    """Choose a fraction of the patches, stratified by label: a pure function of its arguments.

    Source: iterative stratification of Sechidis, Tsoumakas, Vlahavas, "On the Stratification of Multi-Label Data" (ECML
    PKDD 2011), by whole classes instead of single patches. The class with the fewest undecided patches has the least
    choice and comes first. As many of them are chosen as it still lacks, evenly over the sets of labels and by keyed
    draws among patches with the same set; the others are left out. So every class keeps its share but for rounding, and
    the number of patches is close to its share, without being equal to it.

    Args:
        rows: (n,) distinct rows of an index.
        labels: (n, C) uint8, their labels, multi-hot. Patches without a label count as a class of their own.
        fraction: above 0, at most 1. Every class that has a patch keeps at least one, however small it is.
        seed: of the draws.

    Returns:
        (m,) int64, ascending.
    """
    # Patches with equal labels side by side, in drawn order.
    order = np.lexsort((bits(rows, seed, _FRACTION), *np.packbits(labels, axis=1).T))
    rows = rows[order]
    members = np.column_stack([labels, ~labels.any(1)]).astype(np.bool_)[order]
    offsets = bits(np.arange(members.shape[1]), seed, _OFFSET).tolist()
    undecided = np.ones(len(rows), np.bool_)
    chosen = np.zeros(len(rows), np.bool_)
    left = members.sum(0)
    wanted = fraction * left
    kept = np.zeros(members.shape[1], np.int64)
    while left.any():
        # Of two classes with the same patches left, the one of which none is chosen yet must not lose them.
        rarest = min(np.flatnonzero(left).tolist(), key=lambda i: (left[i], kept[i]))
        places = np.flatnonzero(undecided & members[:, rarest])
        lacking = max(round(float(wanted[rarest] - kept[rarest])), 0 if kept[rarest] else 1)
        count = min(lacking, len(places))
        # Every n-th one, from a drawn one on.
        taken = places[(np.arange(count) * len(places) + offsets[rarest] % len(places)) // max(1, count)]
        chosen[taken] = True
        undecided[places] = False
        left -= members[places].sum(0)
        kept += members[taken].sum(0)
    return np.sort(rows[chosen])
