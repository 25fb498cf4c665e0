"""Calibration: reliability of probabilities, and temperature scaling.

Source: Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks" (2017), for decisions about each
class: one temperature T for all classes divides the logits, and is fitted to the lowest cross entropy.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from trainer.metrics.calibration import NUM_BINS, calibration_error

FOLDS: Final = 5
_LOWEST: Final = 2.0**-25
_HIGHEST: Final = 1 - 2.0**-12
"""Probabilities beyond are stored as 0 and 1 in float16, which have no logit; they count as these."""
_STEPS: Final = 60
MOST: Final = 100.0
"""Bound of T and of 1/T: of predictions without an error the best T is 0."""


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """Decisions in bins of equal width of their probability.

    Attributes:
        mean: mean probability of each bin, (bins,) float64; NaN for an empty one.
        share: share of positives of each bin, (bins,) float64; NaN for an empty one.
        counts: decisions of each bin, (bins,) int64.
        error: expected calibration error of all decisions, 0 to 1.
        by_class: the same by class.
    """

    mean: NDArray[np.float64]
    share: NDArray[np.float64]
    counts: NDArray[np.int64]
    error: float
    by_class: list[float]


def clipped(probabilities: NDArray[np.float16]) -> NDArray[np.float64]:
    """Return probabilities as float64 that have a logit."""
    return np.clip(probabilities.astype(np.float64), _LOWEST, _HIGHEST)


def scaled(probabilities: NDArray[np.float16], temperature: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return probabilities, (N, C), whose logits are divided by a temperature, or by one for each patch, (N, 1)."""
    values = clipped(probabilities)
    return _sigmoid(np.log(values / (1 - values)) / np.asarray(temperature))


def reliability(probabilities: NDArray[np.floating], labels: NDArray[np.uint8]) -> Reliability:
    """Return the reliability of all decisions, (N, C) each, N at least 1."""
    values = np.ascontiguousarray(probabilities, np.float64)
    bins = np.minimum((values * NUM_BINS).astype(np.int64), NUM_BINS - 1).ravel()
    counts = np.bincount(bins, minlength=NUM_BINS)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(bins, values.ravel(), NUM_BINS) / counts
        share = np.bincount(bins, labels.ravel(), NUM_BINS) / counts
    error, by_class = calibration_error(torch.from_numpy(values), torch.from_numpy(labels.astype(np.int64)))
    return Reliability(mean, share, counts, error, by_class)


def fit_temperature(probabilities: NDArray[np.float16], labels: NDArray[np.uint8]) -> float:
    """Return the temperature with the lowest mean cross entropy of all decisions, (N, C) each.

    It is sought from 1 / `MOST` to `MOST`; probabilities that say nothing, or are all too low or too high, have the
    end of this range. Cross entropy is convex in 1/T, so the one zero of its derivative is found by bisection.
    Decisions with the same probability count together, of which float16 has few.
    """
    values, place = np.unique(probabilities.ravel(), return_inverse=True)
    total = np.bincount(place.ravel(), minlength=len(values))
    positives = np.bincount(place.ravel(), labels.ravel(), len(values))
    known = clipped(values)
    logits = np.log(known / (1 - known))
    low, high = 1 / MOST, MOST
    for _ in range(_STEPS):
        middle = (low * high) ** 0.5
        expected = total * _sigmoid(middle * logits)
        if ((expected - positives) * logits).sum() > 0:
            high = middle
        else:
            low = middle
    return float(1 / (low * high) ** 0.5)


def cross_fitted(
    probabilities: NDArray[np.float16], labels: NDArray[np.uint8], tiles: NDArray[np.int64], num_tiles: int
) -> tuple[NDArray[np.float64], list[float]]:
    """Return scaled probabilities, (N, C), of which none was scaled by a temperature fitted on its own tile.

    Tiles are dealt to `FOLDS` folds by size, the largest first, each to the fold with fewest patches.

    Args:
        probabilities: (N, C) float16.
        labels: (N, C) uint8.
        tiles: number of the tile of each patch, (N,).
        num_tiles: tiles, at least 2.

    Returns:
        The probabilities and the temperatures of the folds.
    """
    fold_of, sizes = np.zeros(num_tiles, np.int64), np.zeros(min(FOLDS, num_tiles))
    counts = np.bincount(tiles, minlength=num_tiles)
    for tile in np.argsort(-counts, kind="stable"):
        fold_of[tile] = sizes.argmin()
        sizes[fold_of[tile]] += counts[tile]
    folds = fold_of[tiles]
    temperatures = [fit_temperature(probabilities[folds != i], labels[folds != i]) for i in range(len(sizes))]
    return scaled(probabilities, np.array(temperatures)[folds][:, None]), temperatures


def _sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    # Beyond these the exponential overflows.
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -700, 700))), np.float64)
