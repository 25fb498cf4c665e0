"""Intervals of scores by the bootstrap over Sentinel-2 tiles.

Patches of one tile show the same ground at the same times, so they are not independent: tiles are drawn with
replacement, as many as there are, and each brings all of its patches (a cluster bootstrap: Davison and Hinkley,
"Bootstrap Methods and their Application" (1997), section 3.8). Of the scores of all draws the quantiles are taken.

Scores follow from counts by tile and by distinct probability, which a draw weights: of float16 there are at most 15,361
between 0 and 1, so that a draw costs no sorting, and ties are counted as one, as in `trainer.metrics.metrics`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from shards import CLASSES

Interval: TypeAlias = tuple[float, float]
DRAWS: Final = 1000
LEVEL: Final = 0.95
_CHUNK: Final = 100
"""Draws at a time: 12 MB for each table of draws by distinct probabilities."""
_TILE: Final = re.compile(r"_T(\d{2}[A-Z]{3})_")
_ACQUISITION: Final = re.compile(r"(S2[A-D]_MSIL2A_\d{8}T\d+)_\d+_\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """Intervals of scores; None where a score is not defined in any draw.

    Attributes:
        unit: what was drawn: `tiles`, or `acquisitions` where names of patches do not tell their tiles, as in v1.
        num_units: their number.
        ap_macro: of the average precision, macro over the classes that occur in a draw.
        ap_micro: likewise, micro.
        f1_macro: of F1 at the thresholds, macro over the classes that occur in a draw.
        f1_micro: likewise, micro.
        classes: of the average precision by class name.
    """

    unit: str
    num_units: int
    ap_macro: Interval | None
    ap_micro: Interval | None
    f1_macro: Interval | None
    f1_micro: Interval | None
    classes: dict[str, Interval | None]


def group_of(key: str) -> str | None:
    """Return the Sentinel-2 tile that the name of a patch tells; of names of v1, which lack it, the acquisition.

    An acquisition is of one or more tiles at one time. None for names of other kinds.
    """
    if found := _TILE.search(key):
        return found[1]
    acquisition = _ACQUISITION.fullmatch(key)
    return acquisition[1] if acquisition else None


def intervals(
    keys: Sequence[str],
    labels: NDArray[np.uint8],
    probabilities: NDArray[np.floating],
    *,
    thresholds: Mapping[str, float] | None = None,
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> Intervals | None:
    """Return intervals of the scores of predictions; None if all patches are of one tile, or of tiles nobody knows.

    Args:
        keys: names of the N patches.
        labels: (N, 19) of 0 and 1.
        probabilities: (N, 19) from 0 to 1; ranked as float16, in which predictions are kept.
        thresholds: probability by class name from which on it counts as predicted; None for 0.5.
        draws: number of draws.
        level: share of the draws that an interval holds.
        seed: of the draws.
    """
    groups = [group for key in keys if (group := group_of(key)) is not None]
    names, tiles = np.unique(groups, return_inverse=True)
    if len(names) < 2 or len(groups) < len(keys):
        return None
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws).astype(np.float64)
    least = np.array([0.5 if thresholds is None else thresholds[name] for name in CLASSES])
    chosen = probabilities >= least
    probabilities = probabilities.astype(np.float16)
    ap = np.stack([_average_precision(weights, tiles, labels[:, [i]], probabilities[:, [i]]) for i in range(19)], 1)
    f1, f1_micro = _f1(weights, tiles, labels.astype(bool), chosen)
    micro = _average_precision(weights, tiles, labels, probabilities)

    def interval(values: NDArray[np.float64]) -> Interval | None:
        known = values[np.isfinite(values)]
        if not len(known):
            return None
        low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)

    occurs = np.isfinite(ap)
    return Intervals(
        unit="acquisitions" if names[0].startswith("S2") else "tiles",
        num_units=len(names),
        ap_macro=interval(_mean(ap, occurs)),
        ap_micro=interval(micro),
        f1_macro=interval(_mean(f1, occurs)),
        f1_micro=interval(f1_micro),
        classes={name: interval(ap[:, i]) for i, name in enumerate(CLASSES)},
    )


def _average_precision(
    weights: NDArray[np.float64], tiles: NDArray[np.intp], labels: NDArray[np.uint8], scores: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return the average precision of each draw, (draws,): Σ precision · gain in recall; NaN without a positive.

    Args:
        weights: (draws, tiles) times that a tile was drawn.
        tiles: (N,) number of the tile of each patch.
        labels: (N, k) of 0 and 1; all k columns count as one list of decisions.
        scores: (N, k).
    """
    values, place = np.unique(-scores.ravel(), return_inverse=True)  # The highest score first.
    at = np.repeat(tiles, scores.shape[1]) * len(values) + place
    shape, size = (weights.shape[1], len(values)), weights.shape[1] * len(values)
    all_counts = np.bincount(at, minlength=size).reshape(shape).astype(np.float64)
    positives = np.bincount(at, labels.ravel(), size).reshape(shape)
    found = []
    for start in range(0, len(weights), _CHUNK):
        drawn = weights[start : start + _CHUNK]
        gained = drawn @ positives
        taken = (drawn @ all_counts).cumsum(1)
        hits = gained.cumsum(1)
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = np.where(taken > 0, hits / taken, 0.0)
            found.append((precision * gained).sum(1) / hits[:, -1])
    return np.concatenate(found)


def _f1(
    weights: NDArray[np.float64], tiles: NDArray[np.intp], labels: NDArray[np.bool_], chosen: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return F1 of each draw by class, (draws, 19), and micro, (draws,)."""
    num_tiles = weights.shape[1]
    hits, sums = np.zeros((num_tiles, labels.shape[1])), np.zeros((num_tiles, labels.shape[1]))
    np.add.at(hits, tiles, labels & chosen)
    np.add.at(sums, tiles, labels.astype(np.int64) + chosen)
    hits, sums = weights @ hits, weights @ sums
    with np.errstate(invalid="ignore", divide="ignore"):
        return 2 * hits / sums, 2 * hits.sum(1) / sums.sum(1)


def _mean(values: NDArray[np.float64], occurs: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the mean over the classes that occur, (draws,); NaN where none does."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(occurs, values, 0).sum(1) / occurs.sum(1)
