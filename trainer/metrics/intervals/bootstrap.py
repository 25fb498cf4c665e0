"""The bootstrap of clusters: whole tiles are drawn with replacement, with all patches that they hold.

Percentile intervals: Efron and Tibshirani, "An introduction to the bootstrap" (1993), chapter 13; clusters as the units
that are drawn: Davison and Hinkley, "Bootstrap methods and their application" (1997), section 3.8. They tell how scores
vary with the places that a test set was taken from, not how they vary between trainings with other seeds.
"""

import warnings
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

RESAMPLES: Final = 1000
LEVEL: Final = 0.95
"""Share of the resamples that an interval holds."""
SEED: Final = 0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A score and its interval.

    Attributes:
        value: of all patches; None where it is not defined.
        low: lower end of the interval; None if it cannot be estimated.
        high: upper end of the interval; None if it cannot be estimated.
    """

    value: float | None
    low: float | None = None
    high: float | None = None

    @property
    def excludes_zero(self) -> bool:
        """True if the interval of a difference lies on one side of 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def draw(num_tiles: int, resamples: int = RESAMPLES, seed: int = SEED) -> NDArray[np.float64]:
    """Return how many times each tile is in each resample, (tiles, resamples) float64 of whole numbers.

    Each column sums to the number of tiles.
    """
    chances = np.full(num_tiles, 1 / num_tiles)
    counts = np.random.default_rng(seed).multinomial(num_tiles, chances, size=resamples)
    return np.ascontiguousarray(counts.T, np.float64)


def estimate(value: float, resampled: NDArray[np.float64], *, usable: bool = True) -> Estimate:
    """Return a score with its percentile interval.

    Args:
        value: of all patches; NaN where it is not defined.
        resampled: of the resamples, (B,) float64; those in which it is not defined are NaN and left out.
        usable: False if there are too few tiles for an interval.
    """
    if np.isnan(value):
        return Estimate(None)
    known = resampled[~np.isnan(resampled)]
    if not usable or not len(known):
        return Estimate(float(value))
    low, high = np.quantile(known, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Estimate(float(value), float(low), float(high))


def mean_of_known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over the first axis of what is not NaN; NaN where nothing is."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
        return np.asarray(np.nanmean(values, axis=0), np.float64)
