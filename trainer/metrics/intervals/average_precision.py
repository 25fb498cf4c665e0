"""Average precision of all classes in many resamples of tiles, from one sorting of each class.

Average precision is the sum over thresholds of precision times gain in recall, equal scores together (scikit-learn's
`average_precision_score`). In a resample each patch counts as many times as its tile was drawn. The order of patches
is the same in all resamples, so a resample costs a weighted sum over the patches of each threshold, and float16
probabilities have at most 15,361 of these.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

_CHUNK: Final = 50
"""Resamples at a time: 48 MB for 120,000 patches."""


@dataclass(frozen=True, slots=True, eq=False)
class Precisions:
    """Average precisions; NaN where no patch has the class.

    Attributes:
        classes: (C, B) float64.
        micro: of all decisions at once, (B,) float64.
    """

    classes: NDArray[np.float64]
    micro: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class _Ranked:
    """Patches of a class from the highest score down.

    Attributes:
        tiles: tile of each, (N,).
        starts: first patch of each threshold, (G,).
        places: each threshold among those of all classes, (G,).
        hit_tiles: tile of each patch that has the class, (P,).
        hit_starts: first of these at each threshold that has some, (H,).
        hit_groups: thresholds that have some, (H,).
    """

    tiles: NDArray[np.int64]
    starts: NDArray[np.int64]
    places: NDArray[np.int64]
    hit_tiles: NDArray[np.int64]
    hit_starts: NDArray[np.int64]
    hit_groups: NDArray[np.int64]


def average_precisions(
    scores: NDArray[np.floating], labels: NDArray[np.uint8], tiles: NDArray[np.int64], weights: NDArray[np.float64]
) -> Precisions:
    """Return the average precisions in resamples.

    Args:
        scores: (N, C), N at least 1.
        labels: (N, C) uint8 of 0 and 1.
        tiles: number of the tile of each patch, (N,) int64.
        weights: how many times each tile counts, (tiles, B) float64 of whole numbers; ones for the score itself.
    """
    values = np.unique(scores)[::-1]
    ranked = [_rank(scores[:, i], labels[:, i], tiles, values) for i in range(scores.shape[1])]
    chunks = [_chunk(ranked, chunk, len(values)) for chunk in _chunks(weights)]
    return Precisions(np.hstack([classes for classes, _ in chunks]), np.concatenate([micro for _, micro in chunks]))


def _chunks(weights: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    for start in range(0, weights.shape[1], _CHUNK):
        yield np.ascontiguousarray(weights[:, start : start + _CHUNK])


def _rank(
    scores: NDArray[np.floating], labels: NDArray[np.uint8], tiles: NDArray[np.int64], values: NDArray[np.floating]
) -> _Ranked:
    order = np.argsort(-scores, kind="stable")
    ordered, has = scores[order], labels[order].astype(bool)
    is_first = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    starts, group = np.flatnonzero(is_first), np.cumsum(is_first) - 1
    hits = group[has]
    hit_groups, hit_starts = np.unique(hits, return_index=True)
    places = len(values) - 1 - np.searchsorted(values[::-1], ordered[starts])
    return _Ranked(tiles[order], starts, places, tiles[order][has], hit_starts, hit_groups)


def _chunk(
    ranked: list[_Ranked], weights: NDArray[np.float64], num_values: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the scores of the classes, (C, b), and those of all decisions, (b,), in some resamples."""
    all_of, hits_of = np.zeros((2, num_values, weights.shape[1]))
    classes = np.empty((len(ranked), weights.shape[1]))
    for i, each in enumerate(ranked):
        drawn = np.add.reduceat(weights[each.tiles], each.starts, axis=0)
        hits = np.zeros_like(drawn)
        if len(each.hit_groups):
            hits[each.hit_groups] = np.add.reduceat(weights[each.hit_tiles], each.hit_starts, axis=0)
        all_of[each.places] += drawn
        hits_of[each.places] += hits
        classes[i] = _average_precision(drawn, hits)
    return classes, _average_precision(all_of, hits_of)


def _average_precision(drawn: NDArray[np.float64], hits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the scores, (b,), of the patches and of the hits at each threshold, (G, b) each, the highest first."""
    has_some = hits.any(axis=1)
    found = np.cumsum(hits, axis=0)[has_some]
    precision = found / np.maximum(np.cumsum(drawn, axis=0)[has_some], 1.0)
    total = hits.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((precision * hits[has_some]).sum(axis=0) / total, np.float64)
