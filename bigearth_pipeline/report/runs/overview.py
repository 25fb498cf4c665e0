"""All runs in one table, and their scores against time and parameters."""

from typing import Any

from bigearth_pipeline.report.figure.lines import Axis, distinct_names
from bigearth_pipeline.report.figure.scatter import Point, draw_points
from bigearth_pipeline.report.page.blocks import Block, Cell, Drawing, Figure, Section, Table, Text
from bigearth_pipeline.report.page.numbers import NONE, count_cell, number_cell
from bigearth_pipeline.report.run.words import INTERVAL, interval_cell, percent_cell
from bigearth_pipeline.report.runs.contents import RunsContents
from shards.text.words import counted

_LOG_FROM = 20.0
"""Ratio of the largest to the smallest value from which on an axis is logarithmic."""


def overview(contents: RunsContents) -> Section:
    """Return the section."""
    blocks: list[Block] = [*_tables(contents), _trade_offs(contents)]
    return Section("overview", "All runs", blocks)


def _tables(contents: RunsContents) -> list[Table]:
    rows, work = [], []
    for i, run in enumerate(contents.runs):
        facts, config = run.record.to_json(), run.record.config
        ap = f1 = None
        if i not in contents.apart:
            ap, f1 = contents.own(i)[-2], contents.own(i, "f1")[-2]
        rows.append(
            [
                Cell(contents.names[i]),
                Cell(config.model.model),
                Cell(run.record.state),
                Cell(f"{facts['epoch']} of {config.optimisation.epochs}", facts["epoch"]),
                percent_cell(None if ap is None else ap.value),
                Cell(NONE, float("-inf")) if ap is None else interval_cell(ap),
                percent_cell(None if f1 is None else f1.value),
                Cell(NONE, float("-inf")) if f1 is None else interval_cell(f1),
            ]
        )
        work.append(
            [
                Cell(contents.names[i]),
                *([Cell(contents.group(i))] if contents.scored_on else []),
                percent_cell(facts["validation"]["ap_macro"]),
                percent_cell(facts["test"]["ap_macro"]),
                percent_cell(facts["test"]["f1_macro"]),
                _count(facts["parameters"]),
                _minutes(facts["seconds"]),
                _count(facts["patches_per_second"]),
                percent_cell(facts["wait_share"]),
                count_cell(len(config.data.bands)),
                Cell(f"{config.optimisation.lr:g}", config.optimisation.lr),
                count_cell(config.optimisation.batch_size),
                count_cell(config.run.seed),
            ]
        )
    columns = ["run", "network", "state", "epochs", "AP macro, same patches, %", f"AP macro, {INTERVAL}",
               "F1 macro, same patches, %", f"F1 macro, {INTERVAL}"]  # fmt: skip
    scored_on = ["scored on"] if contents.scored_on else []
    of_work = ["run", *scored_on, "validation AP macro, %", "test AP macro, %", "test F1 macro, %", "parameters",
               "minutes", "patches/s", "loader wait, %", "bands", "learning rate", "batch size", "seed"]  # fmt: skip
    is_here = contents.split == "validation"
    where = "these very patches, so it is too high for others" if is_here else "the validation split"
    caption = (
        f"{counted(len(rows), 'run')}. Scores of the same {contents.split} patches, with intervals, are of "
        f"{counted(len(contents.comparable), 'run')}. F1 is at thresholds tuned on {where}."
    )
    if contents.apart:
        caption += " The reasons for the other runs are below."
    words = (
        f"Training of {counted(len(rows), 'run')}. Validation scores are of the best epoch; test scores are those that "
        "the run's results say, of the patches it was tested on."
    )
    if contents.scored_on:
        groups = "; ".join(f"{letter}: {told}" for letter, told in contents.scored_on.items())
        words += (
            f" Scores with different letters do not compare, for they are of different patches or classes: {groups}."
        )
    return [Table("runs-table", caption, columns, rows), Table("work-table", words, of_work, work, dense=True)]


def _trade_offs(contents: RunsContents) -> Figure | Text:
    panels = []
    names = distinct_names(contents.names)
    facts = [(i, contents.runs[i].record.to_json()) for i in contents.shown]
    for name, words, key, unit in (
        ("time", "minutes of training and validation", "seconds", 60.0),
        ("parameters", "million parameters", "parameters", 1e6),
    ):
        known = [(i, fact[key] / unit, _score(fact)) for i, fact in facts if fact[key] and _score(fact) is not None]
        if not known:
            continue
        points = [Point(names[i], x, 100 * float(y or 0), i) for i, x, y in known]
        values = [point.x for point in points]
        across = Axis(words=words, log=max(values) / min(values) > _LOG_FROM)
        drawing = draw_points(
            f"runs-{name}", f"Validation score against {words}", points, across, Axis(words="validation AP macro, %")
        )
        panels.append(Drawing(drawing))
    if not panels:
        return Text("No run says a score of the validation split yet.")
    text = (
        f"Best validation AP macro of {counted(len(contents.shown), 'run')} against the time of training and "
        "validation so far, over all starts of a run, and against the number of parameters. Times are comparable only "
        f"of the same machine.{contents.apart_words}"
    )
    if len(contents.shown) < len(contents.runs):
        text += f" Charts show the first {len(contents.shown)} of {len(contents.runs)} runs."
    return Figure("trade-offs-figure", text, panels, "medium")


def _score(fact: dict[str, Any]) -> float | None:
    found: float | None = fact["validation"]["ap_macro"]
    return found


def _count(value: float | None) -> Cell:
    return number_cell(value, 0)


def _minutes(seconds: float | None) -> Cell:
    return number_cell(None if seconds is None else seconds / 60, 1)
