"""Calibration: a class that is given a probability of 70 % should be there in 70 % of the patches."""

from typing import Final

import torch
from torch import Tensor

NUM_BINS: Final = 15
"""Bins of equal width that probabilities are counted in, as in Guo et al., "On calibration of modern neural networks"
(2017)."""


def calibration_error(probabilities: Tensor, targets: Tensor) -> tuple[float, list[float]]:
    """Return the expected calibration error, of all decisions at once and by class; 0 to 1.

    That is the mean over all decisions of the distance, in the decision's bin, between the mean probability and the
    share of positives. Of torchmetrics' version it differs in that it puts a probability of exactly 1 into the last
    bin, comes out the same in every run on a GPU, and gives the errors of all classes in one go.

    Args:
        probabilities: (N, C) float64, N at least 1.
        targets: (N, C) of 0 and 1.
    """
    bins = (probabilities * NUM_BINS).long().clamp(max=NUM_BINS - 1)
    # In a bin of n decisions, n · |mean probability − share of positives| is the absolute sum of the differences.
    differences = probabilities - targets
    sums = torch.stack([(differences * (bins == i)).sum(0) for i in range(NUM_BINS)])
    micro = sums.sum(1).abs().sum() / probabilities.numel()
    return float(micro), (sums.abs().sum(0) / len(probabilities)).tolist()
