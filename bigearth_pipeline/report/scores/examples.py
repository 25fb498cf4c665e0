"""Choice of the patches to show: the best, the worst and the most uncertain ones."""

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.report.scores.calibration import clipped


def losses(probabilities: NDArray[np.float16], labels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the mean cross entropy over the classes of each patch, (N,) float64, of (N, C) each."""
    values = clipped(probabilities)
    return np.asarray(-np.log(np.where(labels.astype(bool), values, 1 - values)).mean(axis=1), np.float64)


def doubts(probabilities: NDArray[np.float16]) -> NDArray[np.float64]:
    """Return the mean entropy in bits over the classes of each patch, (N,) float64: 1 where all are at 50 %."""
    values = clipped(probabilities)
    entropy = -(values * np.log2(values) + (1 - values) * np.log2(1 - values))
    return np.asarray(entropy.mean(axis=1), np.float64)


def first_of_each(order: NDArray[np.int64], labels: NDArray[np.uint8], number: int) -> list[int]:
    """Return the first patches of an order, at most `number`, each with another set of labels than those before it."""
    masks = labels @ (1 << np.arange(labels.shape[1], dtype=np.int64))
    seen: set[int] = set()
    chosen: list[int] = []
    for row in order.tolist():
        if len(chosen) == number:
            break
        if (mask := int(masks[row])) not in seen:
            seen.add(mask)
            chosen.append(row)
    return chosen
