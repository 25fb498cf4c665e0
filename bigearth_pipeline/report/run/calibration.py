"""Reliability of the probabilities, before and after temperature scaling."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.report.figure.lines import Axis, Line, draw_lines
from bigearth_pipeline.report.page.blocks import Block, Cell, Drawing, Figure, Section, Table
from bigearth_pipeline.report.page.numbers import count_cell, number_cell
from bigearth_pipeline.report.run.contents import RunContents
from bigearth_pipeline.report.run.words import percent_cell
from bigearth_pipeline.report.scores.calibration import (
    MOST,
    Reliability,
    cross_fitted,
    fit_temperature,
    reliability,
    scaled,
)
from shards.text.words import counted

_LIMITS: Final = (-2.0, 102.0)


@dataclass(frozen=True, slots=True, eq=False)
class Scaling:
    """Probabilities after temperature scaling.

    Attributes:
        probabilities: (N, C) float64; None if there is nothing to fit a temperature on.
        words: what the temperature is and what it was fitted on.
    """

    probabilities: NDArray[np.float64] | None
    words: str


def scale(contents: RunContents) -> Scaling:
    """Scale by a temperature of the validation split or, without its predictions, of other tiles."""
    found, tiles, other = contents.found, contents.tiles, contents.validation
    if other is not None:
        temperature = fit_temperature(other.probabilities, other.labels)
        number = counted(len(other.keys), "patch", "patches")
        words = f"The temperature, {temperature:.3f}, was fitted on the {number} of the validation split"
        words += _at_the_end([temperature])
        return Scaling(scaled(found.probabilities, temperature), words)
    command = contents.evaluate_command("validation")
    if tiles is None or tiles.count < 2:
        return Scaling(
            None,
            f"No temperature was fitted: there are no predictions of the validation split by these weights ({command} "
            "writes them), and the patches are not known to lie in several tiles",
        )
    values, temperatures = cross_fitted(found.probabilities, found.labels, tiles.number, tiles.count)
    why = (
        "this is the validation split itself"
        if contents.split == "validation"
        else f"there are no predictions of the validation split by these weights ({command} writes them)"
    )
    words = (
        f"The temperature was cross-fitted over {tiles.words}, for {why}: of {len(temperatures)} folds each is scaled "
        f"by the temperature of the others ({min(temperatures):.3f} to {max(temperatures):.3f})"
        f"{_at_the_end(temperatures)}"
    )
    return Scaling(values, words)


def _at_the_end(temperatures: Sequence[float]) -> str:
    """Return words about temperatures at an end of the range that is searched; empty if none is there."""
    if not any(max(each, 1 / each) > 0.99 * MOST for each in temperatures):
        return ""
    return (
        f"; temperatures are sought from {1 / MOST:g} to {MOST:g}, and one at an end of this range says that no "
        "temperature makes these probabilities reliable"
    )


def calibration(contents: RunContents) -> Section:
    """Return the section."""
    scaling = scale(contents)
    before = reliability(contents.found.probabilities, contents.found.labels)
    after = None if scaling.probabilities is None else reliability(scaling.probabilities, contents.found.labels)
    blocks: list[Block] = [_figure(contents, scaling, before, after), _by_class(contents, before, after)]
    blocks.append(_bins(before, after))
    return Section("calibration", "Reliability of the probabilities", blocks)


def _figure(contents: RunContents, scaling: Scaling, before: Reliability, after: Reliability | None) -> Figure:
    found = [("as predicted", before)] + ([("after temperature scaling", after)] if after is not None else [])
    lines = [Line(name, 100 * each.mean, 100 * each.share, i) for i, (name, each) in enumerate(found)]
    drawing = draw_lines(
        "reliability-chart", "Reliability diagram", lines, Axis(words="mean probability of the bin, %", limits=_LIMITS),
        Axis(words="share that has the class, %", limits=_LIMITS), diagonal=True, marks=True, height=3.2,
    )  # fmt: skip
    text = (
        f"All {contents.found.labels.size:,} decisions of the {contents.split} split in {len(before.counts)} bins of "
        "equal width: on the thin line, of the patches with a probability of 70 % for a class 70 % have it. Expected "
        f"calibration error {100 * before.error:.2f} %"
    )
    text += "." if after is None else f" as predicted and {100 * after.error:.2f} % after temperature scaling."
    text += (
        f" {scaling.words}. Source of both: Guo et al., “On calibration of modern neural networks” (2017), here for "
        "each decision about a class, with one temperature for all."
    )
    return Figure("reliability-figure", text, (Drawing(drawing),))


def _by_class(contents: RunContents, before: Reliability, after: Reliability | None) -> Table:
    counts = contents.found.labels.sum(axis=0, dtype=np.int64).tolist()
    mean = contents.found.probabilities.mean(axis=0, dtype=np.float64).tolist()
    rows = [
        [
            Cell(name),
            count_cell(counts[i]),
            percent_cell(counts[i] / len(contents.found.keys)),
            percent_cell(mean[i]),
            _error(before.by_class[i]),
            _error(None if after is None else after.by_class[i]),
        ]
        for i, name in enumerate(contents.classes)
    ]
    columns = ["class", "patches", "share, %", "mean probability, %", "calibration error, %", "after scaling, %"]
    total = [
        Cell("all decisions"),
        count_cell(sum(counts)),
        percent_cell(sum(counts) / contents.found.labels.size),
        percent_cell(sum(mean) / len(mean)),
        _error(before.error),
        _error(None if after is None else after.error),
    ]
    caption = "Expected calibration error by class, beside the share of patches that have it and the mean probability"
    return Table("calibration-table", caption, columns, rows, total, folded=True)


def _bins(before: Reliability, after: Reliability | None) -> Table:
    number = len(before.counts)
    rows = []
    for i in range(number):
        cells = [Cell(f"{100 * i / number:.1f} to {100 * (i + 1) / number:.1f}", i)]
        for each in (before, after):
            cells += [
                count_cell(None if each is None else int(each.counts[i])),
                percent_cell(None if each is None else float(each.mean[i])),
                percent_cell(None if each is None else float(each.share[i])),
            ]
        rows.append(cells)
    columns = ["probability, %", "decisions", "mean probability, %", "have the class, %", "decisions, scaled",
               "mean probability, scaled, %", "have the class, scaled, %"]  # fmt: skip
    return Table("bins-table", "Bins of the reliability diagram as a table", columns, rows, folded=True)


def _error(value: float | None) -> Cell:
    return number_cell(None if value is None else 100 * value, 2)
