"""Scores of all classes with their intervals, and their differences between two sets of predictions."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shards.layout.classes import NINETEEN, Nomenclature
from trainer.metrics.intervals.average_precision import average_precisions
from trainer.metrics.intervals.bootstrap import Estimate, draw, estimate, mean_of_known
from trainer.metrics.intervals.f1 import f1_scores
from trainer.metrics.intervals.tiles import FEWEST_TILES, Tiles
from trainer.metrics.thresholds import THRESHOLD


@dataclass(frozen=True, slots=True, eq=False)
class Resampled:
    """Scores, and scores of resamples: rows are the classes, then macro (mean over the classes that occur), then micro.

    Attributes:
        ap: average precision, (C + 2, 1 + B) float64; the first column is of all patches, the others of resamples.
        f1: F1 at the thresholds, likewise.
    """

    ap: NDArray[np.float64]
    f1: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores with intervals.

    Attributes:
        ap: average precision by class, then macro, then micro.
        f1: F1 at the thresholds by class, then macro, then micro.
    """

    ap: list[Estimate]
    f1: list[Estimate]


def decide(
    probabilities: NDArray[np.float16], thresholds: Mapping[str, float] | None, nomenclature: Nomenclature = NINETEEN
) -> NDArray[np.bool_]:
    """Return the predicted classes, (N, C) bool: those whose probability is at least the threshold; default 0.5."""
    limits = [THRESHOLD if thresholds is None else thresholds[name] for name in nomenclature.names]
    return probabilities.astype(np.float64) >= np.array(limits)


def resample(
    probabilities: NDArray[np.float16],
    labels: NDArray[np.uint8],
    thresholds: Mapping[str, float] | None,
    tiles: Tiles | None,
    nomenclature: Nomenclature = NINETEEN,
) -> Resampled:
    """Return the scores of all patches and of resamples of tiles; without tiles, or with too few, of no resample.

    Args:
        probabilities: (N, C) float16, N at least 1.
        labels: (N, C) uint8 of 0 and 1.
        thresholds: probability by class name; default 0.5.
        tiles: of the patches.
        nomenclature: the C classes.
    """
    if tiles is not None and tiles.are_enough:
        number, weights = tiles.number, np.hstack([np.ones((tiles.count, 1)), draw(tiles.count)])
    else:
        number, weights = np.zeros(len(labels), np.int64), np.ones((1, 1))
    ap = average_precisions(probabilities, labels, number, weights)
    f1 = f1_scores(decide(probabilities, thresholds, nomenclature), labels, number, weights)
    return Resampled(*(np.vstack([each.classes, mean_of_known(each.classes), each.micro]) for each in (ap, f1)))


def estimates(values: NDArray[np.float64], labels: NDArray[np.uint8], tiles: Tiles | None) -> list[Estimate]:
    """Return scores or differences of them, as `Resampled` has them, with intervals.

    A class whose patches lie in fewer than `FEWEST_TILES` tiles has none.
    """
    usable = [tiles is not None and tiles.of(column > 0) >= FEWEST_TILES for column in labels.T]
    both = tiles is not None and tiles.are_enough
    return [estimate(row[0], row[1:], usable=known) for row, known in zip(values, [*usable, both, both], strict=True)]


def score(
    probabilities: NDArray[np.float16],
    labels: NDArray[np.uint8],
    thresholds: Mapping[str, float] | None,
    tiles: Tiles | None,
    nomenclature: Nomenclature = NINETEEN,
) -> Scores:
    """Return the scores with intervals; see `resample`."""
    found = resample(probabilities, labels, thresholds, tiles, nomenclature)
    return Scores(estimates(found.ap, labels, tiles), estimates(found.f1, labels, tiles))
