"""Scores by country and by month."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.report.figure.intervals import draw_intervals
from bigearth_pipeline.report.figure.lines import shortened
from bigearth_pipeline.report.page.blocks import Block, Cell, Drawing, Figure, Section, Table, Text
from bigearth_pipeline.report.page.numbers import count_cell
from bigearth_pipeline.report.run.contents import RunContents
from bigearth_pipeline.report.run.words import INTERVAL, in_percent, interval_cell, percent_cell
from bigearth_pipeline.report.store.contents import UNKNOWN
from bigearth_pipeline.report.store.origin import MONTHS
from shards.reporting import printable
from shards.text.words import counted, listed, patches
from trainer.metrics.intervals.average_precision import average_precisions
from trainer.metrics.intervals.bootstrap import Estimate, draw, estimate, mean_of_known
from trainer.metrics.intervals.f1 import f1_scores
from trainer.metrics.intervals.tiles import FEWEST_TILES

_MOST: Final = 30
"""Groups that a chart shows; the table has all."""


@dataclass(frozen=True, slots=True)
class GroupScores:
    """Scores of the patches of a country or month.

    Attributes:
        name: of the group.
        count: patches.
        tiles: tiles that they lie in; None if these are not known.
        classes: classes that occur.
        ap_macro: mean average precision of these classes; None if no class occurs.
        ap_micro: average precision of all decisions at once; None likewise.
        f1_micro: F1 of all decisions at once, with its interval.
    """

    name: str
    count: int
    tiles: int | None
    classes: int
    ap_macro: float | None
    ap_micro: float | None
    f1_micro: Estimate


def score_group(contents: RunContents, name: str, chosen: NDArray[np.bool_]) -> GroupScores:
    """Return the scores of some patches, (N,) bool, at least one of them."""
    found, predicted = contents.found, contents.predicted[chosen]
    probabilities, labels = found.probabilities[chosen], found.labels[chosen]
    one, none = np.ones((1, 1)), np.zeros(len(labels), np.int64)
    ap = average_precisions(probabilities, labels, none, one)
    f1, count = f1_scores(predicted, labels, none, one).micro[0], None
    resampled, usable = np.empty(0), False
    if contents.tiles is not None:
        used, number = np.unique(contents.tiles.number[chosen], return_inverse=True)
        count, usable = len(used), len(used) >= FEWEST_TILES
        if usable:
            resampled = f1_scores(predicted, labels, number.ravel(), draw(count)).micro
    macro, micro = mean_of_known(ap.classes)[0], ap.micro[0]
    return GroupScores(
        name=name,
        count=len(labels),
        tiles=count,
        classes=int(labels.any(axis=0).sum()),
        ap_macro=None if np.isnan(macro) else float(macro),
        ap_micro=None if np.isnan(micro) else float(micro),
        f1_micro=estimate(f1, resampled, usable=usable),
    )


def by_country(contents: RunContents) -> list[GroupScores]:
    """Return the scores of each country, from the one with most patches; those without a country come last."""
    assert contents.store is not None
    codes, names = contents.store.index.codes("country")
    own = codes[contents.rows]
    groups = [score_group(contents, printable(names[code]), own == code) for code in np.unique(own[own >= 0]).tolist()]
    groups.sort(key=lambda group: (-group.count, group.name))
    return [*groups, *([score_group(contents, UNKNOWN, own < 0)] if (own < 0).any() else [])]


def by_month(contents: RunContents) -> list[GroupScores]:
    """Return the scores of the months that have patches, of all years together, in the order of the year."""
    assert contents.store is not None
    dates = contents.store.index.column("date").astype("datetime64[s]")[contents.rows]
    month = dates.astype("datetime64[M]").astype(np.int64) % len(MONTHS)
    return [score_group(contents, MONTHS[i], month == i) for i in np.unique(month).tolist()]


def groups(contents: RunContents) -> Section:
    """Return the section; without a store it says what is missing."""
    title = "Scores by country and month"
    if contents.store is None:
        return Section("groups", title, (Text(contents.no_store),))
    countries, months = by_country(contents), by_month(contents)
    # Of v1 no source tells them.
    if [group.name for group in countries] == [UNKNOWN]:
        words = Text("The store does not tell countries, so there are no scores by country.")
        return Section("groups", title, [words, _figure(contents, "month", months), _table("month", months)])
    found = (("country", countries), ("month", months))
    # Charts side by side, tables below.
    blocks: list[Block] = [_figure(contents, name, each) for name, each in found]
    return Section("groups", title, [*blocks, *(_table(name, each) for name, each in found)])


def _figure(contents: RunContents, name: str, found: list[GroupScores]) -> Figure:
    shown = found[:_MOST]
    drawing = draw_intervals(
        f"groups-{name}", f"Scores by {name}", [shortened(group.name) for group in shown],
        {
            "AP micro": [(None if group.ap_micro is None else 100 * group.ap_micro, None, None) for group in shown],
            "F1 micro": [in_percent(group.f1_micro) for group in shown],
        },
        "score, %",
    )  # fmt: skip
    known = [group for group in found if group.f1_micro.value is not None]
    many = {"country": "countries", "month": "months"}[name]
    named = sum(group.name != UNKNOWN for group in found)
    unknown = f", and of patches whose {name} is unknown" if named < len(found) else ""
    text = f"AP micro, and F1 micro {contents.threshold_words}, of {counted(named, name, many)}{unknown}."
    if known:
        text += f" {_extremes(known)}"
    text += f" Shown are the {_MOST} with most patches." if len(shown) < len(found) else ""
    text += f" Intervals of F1 resample the tiles of the group, if there are {FEWEST_TILES} or more."
    return Figure(f"groups-{name}-figure", text, (Drawing(drawing),))


def _extremes(known: list[GroupScores]) -> str:
    """Return sentences on the groups with the highest and the lowest score, where these are two."""
    high, low = (find(known, key=lambda group: group.f1_micro.value or 0.0) for find in (max, min))
    best, worst = (f"{100 * (group.f1_micro.value or 0):.1f} %" for group in (high, low))
    if high is low:
        return f"F1 micro is {best} for {listed([group.name for group in known])}."
    return (
        f"F1 micro is highest for {high.name}, {best} of {patches(high.count)}, and lowest for {low.name}, {worst} of "
        f"{patches(low.count)}. Which classes occur differs, and so does how difficult they are."
    )


def _table(name: str, found: list[GroupScores]) -> Table:
    rows = [
        [
            Cell(group.name),
            count_cell(group.count),
            count_cell(group.tiles),
            count_cell(group.classes),
            percent_cell(group.ap_macro),
            percent_cell(group.ap_micro),
            percent_cell(group.f1_micro.value),
            interval_cell(group.f1_micro),
        ]
        for group in found
    ]
    columns = [
        name,
        "patches",
        "tiles",
        "classes",
        "AP macro, %",
        "AP micro, %",
        "F1 micro, %",
        f"F1 micro, {INTERVAL}",
    ]
    return Table(f"groups-{name}-table", f"Scores by {name} as a table", columns, rows, folded=True)
