"""Pairs of a patch and a class where the decision of a run is not the label, the most certain ones first."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.serve.contents.runs import Predicted
from bigearth_pipeline.serve.contents.stores import OpenStore


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Pairs of a patch and a class, by descending distance of the probability from the label.

    Attributes:
        rows: of the store's index, (n,) int64.
        labels: numbers of the classes, (n,) int64.
        has_label: whether the patch is labelled with the class, (n,) bool.
        probabilities: (n,) float32.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    has_label: NDArray[np.bool_]
    probabilities: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.rows)


def disagreements(store: OpenStore, found: Predicted, label: int | None = None) -> Pairs:
    """Return the pairs where a run decides otherwise than the label says.

    Args:
        store: of the patches.
        found: predictions of the run.
        label: number of a class; None for all.
    """
    truth = store.labels[found.rows].astype(np.bool_)
    differs = found.decided != truth
    if label is not None:
        differs[:, np.arange(differs.shape[1]) != label] = False
    patch, number = np.nonzero(differs)
    probabilities = found.probabilities[patch, number].astype(np.float32)
    has_label = truth[patch, number]
    # Equal ones stay in the order of the index.
    order = np.argsort(-np.abs(probabilities - has_label), kind="stable")
    return Pairs(found.rows[patch][order], number[order], has_label[order], probabilities[order])
