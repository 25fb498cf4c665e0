"""Differences between runs that were evaluated on the same patches, and which of them are larger than the noise."""

from itertools import combinations
from typing import Final

from bigearth_pipeline.report.figure.intervals import draw_intervals
from bigearth_pipeline.report.figure.lines import distinct_names
from bigearth_pipeline.report.figure.look import SERIES
from bigearth_pipeline.report.page.blocks import Block, Cell, Drawing, Figure, Section, Table, Text
from bigearth_pipeline.report.page.numbers import count_cell
from bigearth_pipeline.report.run.contents import interval_words
from bigearth_pipeline.report.run.words import INTERVAL, in_percent, interval_cell, percent_cell, signed_cell
from bigearth_pipeline.report.runs.contents import RunsContents
from shards.text.words import counted, patches
from trainer.metrics.intervals.bootstrap import LEVEL, Estimate

_MACRO: Final = -2
"""Place of the macro mean behind those of the classes, see `Resampled`."""


def verdict(found: Estimate) -> str:
    """Return what a difference means: above or below by more than the noise, within it, none, or not known."""
    if found.value is None:
        return "not defined"
    if found.low is None:
        return "no difference" if found.value == 0 else "no interval"
    if found.low == found.high == found.value == 0:
        return "no difference"
    if not found.excludes_zero:
        return "within the noise"
    return "above, larger than the noise" if found.value > 0 else "below, larger than the noise"


def differences(contents: RunsContents) -> Section:
    """Return the section."""
    title = f"Differences on the same {contents.split} patches"
    blocks: list[Block] = []
    if contents.apart:
        rows = [[Cell(contents.names[i]), Cell(reason)] for i, reason in contents.apart.items()]
        caption = f"{counted(len(rows), 'run')} not compared, and why"
        blocks.append(Table("apart-table", caption, ["run", "why it is not compared"], rows))
    first = contents.first
    others = [i for i in contents.comparable if i != first]
    if first is None or not others:
        blocks.insert(0, Text("Fewer than two of these runs were evaluated on the same patches, so none are compared."))
        return Section("differences", title, blocks)
    found = {i: contents.differences(i, first) for i in others}
    blocks = [
        Text(_words(contents, first)),
        _summary(contents, first, found),
        *blocks,
        _figure(contents, first, found),
        *(_table(contents, i, first, each) for i, each in found.items()),
    ]
    if len(others) > 1:
        blocks.append(_pairs(contents))
    return Section("differences", title, blocks)


def _words(contents: RunsContents, first: int) -> str:
    count = patches(len(contents.runs[first].found.keys))
    return (
        f"Differences are to {contents.names[first]}, the first run that has predictions, on the same {count}; both "
        "runs have the same resamples (paired bootstrap). A difference is larger than the noise if its interval "
        f"excludes 0. Of 20 such intervals about one excludes 0 by chance at {100 * LEVEL:.0f} %. They tell how a "
        "difference depends on the places of the patches, not how it varies between trainings with other seeds. "
        f"{interval_words(contents.tiles)}"
    )


def _summary(contents: RunsContents, first: int, found: dict[int, list[Estimate]]) -> Table:
    rows = []
    for i, ap in found.items():
        f1 = contents.differences(i, first, "f1")
        own = [verdict(each) for each in ap[:_MACRO]]
        rows.append(
            [
                Cell(contents.names[i]),
                signed_cell(ap[_MACRO].value),
                interval_cell(ap[_MACRO], signed=True),
                Cell(verdict(ap[_MACRO])),
                signed_cell(f1[_MACRO].value),
                interval_cell(f1[_MACRO], signed=True),
                Cell(verdict(f1[_MACRO])),
                count_cell(sum(each.startswith("above") for each in own)),
                count_cell(sum(each.startswith("below") for each in own)),
            ]
        )
    columns = ["run", "AP macro, points", INTERVAL, "AP macro", "F1 macro, points", f"F1 macro, {INTERVAL}", "F1 macro",
               "classes above", "classes below"]  # fmt: skip
    caption = (
        f"Difference of each run to {contents.names[first]} in percentage points, and the classes whose average "
        "precision is above or below by more than the noise."
    )
    return Table("differences-table", caption, columns, rows)


def _figure(contents: RunsContents, first: int, found: dict[int, list[Estimate]]) -> Figure:
    run, shown = contents.runs[first], dict(list(found.items())[: len(SERIES)])
    names = distinct_names(contents.names)
    order = [i for i in range(len(run.classes)) if any(each[i].value is not None for each in shown.values())]
    drawing = draw_intervals(
        "differences-chart", "Differences of average precision by class", [run.short_classes[i] for i in order],
        {names[place]: [in_percent(each[i]) for i in order] for place, each in shown.items()},
        f"AP, percentage points, minus that of\n{names[first]}", zero=True,
    )  # fmt: skip
    beyond = {place: sum(estimate.excludes_zero for estimate in each[:_MACRO]) for place, each in shown.items()}
    told = "; ".join(f"{contents.names[place]}: {count} of {len(order)}" for place, count in beyond.items())
    text = f"Difference of average precision by class, with intervals. Classes whose interval excludes 0: {told}."
    if len(shown) < len(found):
        text += f" Shown are the first {len(shown)} of {len(found)} runs."
    return Figure("differences-figure", text, (Drawing(drawing),))


def _table(contents: RunsContents, place: int, first: int, found: list[Estimate]) -> Table:
    labels = contents.runs[first].found.labels
    one, two = contents.own(place), contents.own(first)
    rows = [
        [
            Cell(name),
            count_cell(int(labels[:, i].sum())),
            percent_cell(two[i].value),
            percent_cell(one[i].value),
            signed_cell(found[i].value),
            interval_cell(found[i], signed=True),
            Cell(verdict(found[i])),
        ]
        for i, name in enumerate(contents.runs[first].classes)
    ]
    total = [
        Cell("macro"),
        count_cell(len(labels)),
        percent_cell(two[_MACRO].value),
        percent_cell(one[_MACRO].value),
        signed_cell(found[_MACRO].value),
        interval_cell(found[_MACRO], signed=True),
        Cell(verdict(found[_MACRO])),
    ]
    columns = ["class", "patches", f"AP of {contents.names[first]}, %", f"AP of {contents.names[place]}, %",
               "difference, points", INTERVAL, "difference"]  # fmt: skip
    caption = f"Average precision by class: {contents.names[place]} beside {contents.names[first]}"
    return Table(f"differences-{place}", caption, columns, rows, total, folded=True)


def _pairs(contents: RunsContents) -> Table:
    rows = []
    for one, two in combinations(contents.comparable, 2):
        found = contents.differences(two, one)[_MACRO]
        rows.append(
            [
                Cell(contents.names[two]),
                Cell(contents.names[one]),
                signed_cell(found.value),
                interval_cell(found, signed=True),
                Cell(verdict(found)),
            ]
        )
    columns = ["run", "minus", "AP macro, points", INTERVAL, "difference"]
    return Table("pairs-of-runs", f"AP macro of all {len(rows)} pairs of runs", columns, rows, folded=True)
