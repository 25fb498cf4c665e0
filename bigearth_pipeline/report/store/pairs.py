"""Classes that occur together: patches that have both, and how much more often than by chance (lift)."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.report.figure.heat import MOST_DOUBLINGS, heat_map
from bigearth_pipeline.report.page.blocks import Block, Cell, Drawing, Figure, Section, Table, Text
from bigearth_pipeline.report.page.numbers import count_cell, number_cell
from bigearth_pipeline.report.store.contents import SHORT_CLASSES, Contents
from shards import CLASSES
from shards.text.words import patches


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Classes that occur together.

    Attributes:
        counts: patches that have both classes, on the diagonal those that have the one, (19, 19) int64.
        lift: n·n_ij / (n_i·n_j), how many times as often as if classes were independent, (19, 19) float64; NaN where a
            class does not occur, and on the diagonal.
    """

    counts: NDArray[np.int64]
    lift: NDArray[np.float64]


def count_pairs(labels: NDArray[np.uint8]) -> Pairs:
    """Return which classes occur together in patches with these labels, (patches, 19) uint8."""
    # Products of floats are fast, and exact below 2^53.
    hot = labels.astype(np.float64)
    counts = np.rint(hot.T @ hot).astype(np.int64)
    single = np.diagonal(counts).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        lift = len(labels) * counts / np.outer(single, single)
    lift[~np.isfinite(lift)] = np.nan
    np.fill_diagonal(lift, np.nan)
    return Pairs(counts, lift)


def pairs(contents: Contents) -> Section:
    """Return the section."""
    found = count_pairs(contents.labels)
    both = [(i, j) for i, j in combinations(range(len(CLASSES)), 2) if found.counts[i, j]]
    if not both:
        blocks: list[Block] = [Text("No patch has two classes.")]
    else:
        blocks = [_counts(found, both), _lift(found, both), _table(found)]
    return Section("pairs", "Classes that occur together", blocks)


def _names(pair: tuple[int, int]) -> str:
    return f"“{CLASSES[pair[0]]}” and “{CLASSES[pair[1]]}”"


def _counts(found: Pairs, both: list[tuple[int, int]]) -> Figure:
    values = found.counts.astype(np.float64)
    drawing = heat_map("pairs-counts", "Patches that have both classes", SHORT_CLASSES, values, "patches (log scale)")
    most = max(both, key=lambda pair: found.counts[pair])
    absent = len(CLASSES) * (len(CLASSES) - 1) // 2 - len(both)
    caption = (
        f"Patches that have both classes; on the diagonal, those that have the class. {_names(most)} occur together "
        f"most often, in {patches(int(found.counts[most]))}; {absent} of 171 pairs never do (empty)."
    )
    return Figure("pairs-counts-figure", caption, (Drawing(drawing),))


def _lift(found: Pairs, both: list[tuple[int, int]]) -> Figure:
    drawing = heat_map(
        "pairs-lift", "Lift of pairs of classes", SHORT_CLASSES, found.lift, "lift (log scale)", ratio=True
    )
    high = max(both, key=lambda pair: found.lift[pair])
    low = min(both, key=lambda pair: found.lift[pair])
    caption = (
        "Lift: how many times as often two classes occur together as they would if they were independent, "
        f"n·n(A and B) / (n(A)·n(B)). Highest: {_names(high)}, {found.lift[high]:.2f}"
    )
    if low != high:
        caption += f"; lowest that occurs: {_names(low)}, {found.lift[low]:.3f}"
    caption += ". Pairs that never occur are empty."
    # `heat_map` ends there.
    if max(found.lift[high], 1 / found.lift[low]) > 2**MOST_DOUBLINGS:
        caption += f" Colours end at {2**MOST_DOUBLINGS} and 1/{2**MOST_DOUBLINGS}."
    return Figure("pairs-lift-figure", caption, (Drawing(drawing),))


def _table(found: Pairs) -> Table:
    rows = [
        [
            Cell(CLASSES[i]),
            Cell(CLASSES[j]),
            count_cell(int(found.counts[i, j])),
            number_cell(float(found.lift[i, j]), 3),
        ]
        for i, j in combinations(range(len(CLASSES)), 2)
    ]
    return Table("pairs-table", "All 171 pairs as a table", ["class", "and", "patches", "lift"], rows, folded=True)
