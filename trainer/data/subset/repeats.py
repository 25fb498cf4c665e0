"""Repeat factors: visits of patches with rare classes in an epoch."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from shards.layout.classes import NINETEEN, Nomenclature


def repeat_factors(
    labels: NDArray[np.uint8], threshold: float, ignored: Collection[str] = (), nomenclature: Nomenclature = NINETEEN
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how often each patch is visited in the mean, (n,) float64 from 1, and the same of each class, (C,).

    r(class) = max(1, sqrt(threshold / f)), where f is the share of patches that have it; that of a patch is the highest
    one of its classes. Source: Gupta, Dollár, Girshick, "LVIS" (CVPR 2019), appendix B.

    Args:
        labels: (n, C) of 0 and 1 of the training patches.
        threshold: share of patches below which a class is rare.
        ignored: names of classes that do not count; a class of no patch does not, either.
        nomenclature: the C classes.
    """
    frequency = labels.mean(0, dtype=np.float64)
    classes = np.ones(labels.shape[1])
    counts = (frequency > 0) & np.array([name not in ignored for name in nomenclature.names])
    classes[counts] = np.maximum(1.0, np.sqrt(threshold / frequency[counts]))
    return np.where(labels > 0, classes, 1.0).max(1), classes
