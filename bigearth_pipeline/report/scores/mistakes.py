"""Classes that are predicted in place of others: true × predicted co-occurrence of mistakes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Mistakes:
    """Mistakes of a class beside those of another one.

    Attributes:
        missed: patches that have class i, for which it is not predicted, (C,) int64.
        instead: of these, patches for which class j is predicted and that do not have it, (C, C) int64, row i.
        found: patches that have class i and for which it is predicted, (C,) int64.
    """

    missed: NDArray[np.int64]
    instead: NDArray[np.int64]
    found: NDArray[np.int64]

    @property
    def shares(self) -> NDArray[np.float64]:
        """`instead` as a share of the missed patches of the class, (C, C) float64, 0 to 1; NaN where none is missed."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.instead / self.missed[:, None]


def count_mistakes(predicted: NDArray[np.bool_], labels: NDArray[np.uint8]) -> Mistakes:
    """Return the mistakes of decisions, (N, C) bool, about labels, (N, C) uint8.

    A patch has several classes, so there is no confusion matrix as of a single choice: a patch in which class i is
    missed counts in each column j that is predicted for it without being there.
    """
    has = labels.astype(bool)
    # Products of floats are fast, and exact below 2^53.
    missed, extra = (has & ~predicted).astype(np.float64), (predicted & ~has).astype(np.float64)
    instead = np.rint(missed.T @ extra).astype(np.int64)
    return Mistakes(missed.sum(axis=0).astype(np.int64), instead, (has & predicted).sum(axis=0, dtype=np.int64))
