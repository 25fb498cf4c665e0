"""Classes that are predicted in place of others."""

from typing import Final

import numpy as np

from bigearth_pipeline.report.figure.heat import heat_map
from bigearth_pipeline.report.page.blocks import Block, Cell, Drawing, Figure, Section, Table, Text
from bigearth_pipeline.report.page.numbers import NONE, count_cell, share, share_cell
from bigearth_pipeline.report.run.contents import RunContents
from bigearth_pipeline.report.scores.mistakes import Mistakes, count_mistakes

_MOST: Final = 3


def mistakes(contents: RunContents) -> Section:
    """Return the section."""
    found = count_mistakes(contents.predicted, contents.found.labels)
    number = len(contents.classes)
    pairs = [(i, j) for i in range(number) for j in range(number) if found.instead[i, j]]
    blocks: list[Block] = []
    if pairs:
        blocks.append(_figure(contents, found, pairs))
    else:
        blocks.append(Text("No patch that lacks a class in its prediction has another one in its place."))
    blocks.append(_table(contents, found))
    if pairs:
        blocks.append(_pairs(contents, found, pairs))
    return Section("mistakes", "Classes predicted in place of others", blocks)


def _figure(contents: RunContents, found: Mistakes, pairs: list[tuple[int, int]]) -> Figure:
    drawing = heat_map(
        "mistakes-heat", "Classes predicted in place of others", contents.short_classes, 100 * found.shares,
        "share of the missed patches of the row's class, %", linear=True,
    )  # fmt: skip
    i, j = max(pairs, key=lambda pair: (found.instead[pair], pair))
    missed, instead = contents.classes[i], contents.classes[j]
    text = (
        f"Rows are classes that a patch has and that were missed, {contents.threshold_words}; columns, by number, are "
        "classes predicted for the same patch without being there. A patch may count in several squares of a row, or "
        f"in none, so rows do not sum to 100 %. Most often {instead} is predicted where {missed} is missed: in "
        f"{found.instead[i, j]:,} of {found.missed[i]:,} missed patches "
        f"({share(found.instead[i, j], found.missed[i])}). Empty squares are 0."
    )
    return Figure("mistakes-figure", text, (Drawing(drawing),))


def _table(contents: RunContents, found: Mistakes) -> Table:
    short = contents.short_classes
    extra = (contents.predicted & (contents.found.labels == 0)).sum(axis=0).tolist()
    rows = []
    for i, name in enumerate(contents.classes):
        order = np.argsort(-found.instead[i], kind="stable")[:_MOST]
        words = [f"{short[j]} {share(found.instead[i, j], found.missed[i])}" for j in order if found.instead[i, j]]
        missed, present = int(found.missed[i]), int(found.missed[i] + found.found[i])
        rows.append(
            [
                Cell(name),
                count_cell(present),
                count_cell(missed),
                share_cell(missed, present),
                count_cell(extra[i]),
                Cell("; ".join(words) or NONE),
            ]
        )
    columns = ["class", "patches", "missed", "share missed", "predicted without being there", "predicted in its place"]
    caption = (
        f"Missed patches of each class, and the {_MOST} classes that are most often predicted for these without being "
        "there, with the share of the missed patches."
    )
    return Table("mistakes-table", caption, columns, rows)


def _pairs(contents: RunContents, found: Mistakes, pairs: list[tuple[int, int]]) -> Table:
    rows = [
        [
            Cell(contents.classes[i]),
            Cell(contents.classes[j]),
            count_cell(int(found.instead[i, j])),
            share_cell(found.instead[i, j], found.missed[i]),
        ]
        for i, j in sorted(pairs, key=lambda pair: (-found.instead[pair], pair))
    ]
    columns = ["missed", "predicted in its place", "patches", "share of the missed"]
    return Table("mistakes-pairs", f"All {len(rows)} pairs that occur, as a table", columns, rows, folded=True)
