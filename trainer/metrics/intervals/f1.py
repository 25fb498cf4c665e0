"""F1 of all classes in many resamples of tiles, from the counts of each tile."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class F1:
    """F1, the harmonic mean of precision and recall; NaN where no patch has the class.

    Attributes:
        classes: (C, B) float64.
        micro: of all decisions at once, (B,) float64.
    """

    classes: NDArray[np.float64]
    micro: NDArray[np.float64]


def f1_scores(
    predicted: NDArray[np.bool_], labels: NDArray[np.uint8], tiles: NDArray[np.int64], weights: NDArray[np.float64]
) -> F1:
    """Return F1 in resamples.

    Args:
        predicted: decisions, (N, C) bool.
        labels: (N, C) uint8 of 0 and 1.
        tiles: number of the tile of each patch, (N,) int64.
        weights: how many times each tile counts, (tiles, B) float64; ones for the score itself.
    """
    has = labels.astype(bool)
    true = _by_tile(predicted & has, tiles, len(weights)) @ weights
    # 2 TP + FP + FN: those predicted, and those that are there.
    both = (_by_tile(predicted, tiles, len(weights)) + _by_tile(has, tiles, len(weights))) @ weights
    positives = _by_tile(has, tiles, len(weights)) @ weights
    return F1(_ratio(true, both, positives), _ratio(true.sum(axis=0), both.sum(axis=0), positives.sum(axis=0)))


def _by_tile(mask: NDArray[np.bool_], tiles: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Return the patches of each class and tile, (C, tiles) float64, of (N, C) bool."""
    return np.stack([np.bincount(tiles[column], minlength=count) for column in mask.T]).astype(np.float64)


def _ratio(true: NDArray[np.float64], both: NDArray[np.float64], positives: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.where(positives > 0, 2 * true / np.maximum(both, 1.0), np.nan), np.float64)
