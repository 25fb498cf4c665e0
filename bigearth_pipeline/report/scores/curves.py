"""Precision and recall at all thresholds."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

_POINTS: Final = 150


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Precision and recall of a class from the highest threshold down: (n,) float64 each, 0 to 1."""

    recall: NDArray[np.float64]
    precision: NDArray[np.float64]


def precision_recall(scores: NDArray[np.floating], labels: NDArray[np.uint8]) -> Curve:
    """Return precision and recall at each different score; equal scores count together.

    Args:
        scores: (N,).
        labels: (N,) uint8, at least one of them 1.
    """
    order = np.argsort(-scores, kind="stable")
    ordered, hits = scores[order], np.cumsum(labels[order], dtype=np.int64)
    last = np.flatnonzero(np.concatenate([ordered[1:] != ordered[:-1], [True]]))
    return Curve(hits[last] / hits[-1], hits[last] / (last + 1))


def thinned(curve: Curve, points: int = _POINTS) -> Curve:
    """Return a curve with at most `points` points, about equally spaced in recall, the first and the last among them.

    Where false positives alone follow each other, precision falls at one recall: both ends of such a fall are kept.
    """
    if len(curve.recall) <= points:
        return curve
    wanted = np.linspace(curve.recall[0], 1, points // 2)
    first = np.minimum(np.searchsorted(curve.recall, wanted), len(curve.recall) - 1)
    last = np.searchsorted(curve.recall, curve.recall[first], side="right") - 1
    chosen = np.unique(np.concatenate([first, last]))
    return Curve(curve.recall[chosen], curve.precision[chosen])
