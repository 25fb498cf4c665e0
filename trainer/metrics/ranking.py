"""Quality of the ranking of the classes of each patch; torchmetrics loops over patches in Python for this."""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

CHUNK: Final = 2**16
"""Patches whose classes are compared in pairs at a time: 24 MB for each table of 19 × 19 truth values."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """Means over the patches that have a label, since there is nothing to rank in others; None if there are none.

    Attributes:
        average_precision: label ranking average precision, 0 to 1: mean over a patch's labels of the share of its
            labels among the classes that score at least as high.
        one_error: share of patches whose highest class is not one of their labels; of several that are equally high,
            each counts in part.
        coverage: how many classes, from the highest down, have all labels of a patch among them; at best the mean
            number of labels. Not divided by the number of classes.
    """

    average_precision: float | None
    one_error: float | None
    coverage: float | None


def rank(logits: Tensor, targets: Tensor) -> Ranking:
    """Return how well classes are ranked.

    Source: Tsoumakas, Katakis, Vlahavas, "Mining multi-label data" (2010), with ties as in scikit-learn: a class ranks
    behind all that score the same.

    Args:
        logits: (N, C) float32.
        targets: (N, C) int64 of 0 and 1.
    """
    labelled = targets.any(1)
    logits, relevant = logits[labelled], targets[labelled].bool()
    if not len(logits):
        return Ranking(None, None, None)
    parts = [_sums(*chunk) for chunk in zip(logits.split(CHUNK), relevant.split(CHUNK), strict=True)]
    return Ranking(*(torch.stack(parts).sum(0) / len(logits)).tolist())


def _sums(logits: Tensor, relevant: Tensor) -> Tensor:
    """Return the sums over some patches of the three values, (3,) float64."""
    ahead = logits[:, None, :] >= logits[:, :, None]  # (patch, class, classes that rank before it, with itself)
    ranks = ahead.sum(2)
    precision = (ahead & relevant[:, None, :]).sum(2).double() / ranks
    average_precision = (precision * relevant).sum(1) / relevant.sum(1)
    highest = logits == logits.amax(1, keepdim=True)
    one_error = (highest & ~relevant).sum(1).double() / highest.sum(1)
    coverage = (ranks * relevant).amax(1).double()
    return torch.stack([average_precision.sum(), one_error.sum(), coverage.sum()])
