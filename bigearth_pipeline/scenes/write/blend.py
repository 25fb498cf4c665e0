"""Blending of overlapping windows into one map of cells."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.scenes.grid.windows import SIDE, Windows

NODATA: Final = 255
SCALE: Final = 250
"""Steps of a probability of 1 in the map."""


def raised_cosine() -> NDArray[np.float64]:
    """Return the weight of each cell across a window, (20,): (1 − cos 2π(i + ½)/20) / 2, above 0 everywhere."""
    weights: NDArray[np.float64] = 0.5 * (1 - np.cos(2 * np.pi * (np.arange(SIDE) + 0.5) / SIDE))
    return weights


def quantised(probabilities: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return probabilities in 1/250, rounded half to even; 255 for NaN."""
    steps: NDArray[np.float64] = np.rint(np.nan_to_num(probabilities, nan=NODATA / SCALE) * SCALE)
    found: NDArray[np.uint8] = np.clip(steps, 0, NODATA).astype(np.uint8)
    return found


class Blend:
    """Adds windows row by row, and gives rows of cells once no further window reaches them.

    A cell is Σ w·p / Σ w over the windows that hold it and have a result, with the weights of `raised_cosine` in both
    directions; where there is none it has no data. Only the 20 rows that a window reaches are in memory.
    """

    def __init__(self, windows: Windows, columns: int, classes: int) -> None:
        """Begin with the first row.

        Args:
            windows: of the scene.
            columns: cells from west to east.
            classes: bands of the map.
        """
        self._windows = windows
        self._weights = raised_cosine()
        self._sum = np.zeros((SIDE, classes, columns))
        self._weight = np.zeros((SIDE, columns))

    def add(self, row: int, probabilities: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Add a row of windows and return the rows of cells that are finished by it.

        Args:
            row: of the windows; all of them are added, from north to south.
            probabilities: (windows, classes), NaN for a window without a result.

        Returns:
            (classes, rows, columns), in 1/250 with 255 for no data.
        """
        across = np.zeros(self._sum.shape[1:])
        weight = np.zeros(self._weight.shape[1])
        for left, values in zip(self._windows.lefts, probabilities.astype(np.float64), strict=True):
            if np.isnan(values[0]):
                continue
            cells = slice(left, left + SIDE)
            across[:, cells] += values[:, None] * self._weights
            weight[cells] += self._weights
        self._sum += self._weights[:, None, None] * across
        self._weight += self._weights[:, None] * weight
        tops = (*self._windows.tops, self._windows.tops[-1] + SIDE)
        return self._taken(tops[row + 1] - tops[row])

    def _taken(self, count: int) -> NDArray[np.uint8]:
        with np.errstate(invalid="ignore"):
            mean = self._sum[:count] / np.where(self._weight[:count] > 0, self._weight[:count], np.nan)[:, None]
        for sums in (self._sum, self._weight):
            sums[: SIDE - count] = sums[count:]
            sums[SIDE - count :] = 0
        return quantised(mean).transpose(1, 0, 2)
