"""Scores of each class: average precision and F1 with support and intervals."""

import numpy as np
import torch
from numpy.typing import NDArray

from bigearth_pipeline.report.figure.intervals import draw_intervals
from bigearth_pipeline.report.page.blocks import Block, Cell, Drawing, Figure, Section, Table
from bigearth_pipeline.report.page.numbers import NONE, count_cell, number_cell
from bigearth_pipeline.report.run.contents import RunContents
from bigearth_pipeline.report.run.words import INTERVAL, in_percent, in_words, interval_cell, percent_cell
from shards.text.words import listed, patches
from trainer.metrics.decisions import mean
from trainer.metrics.intervals.f1 import f1_scores
from trainer.metrics.intervals.table import decide
from trainer.metrics.metrics import area_under_roc


def classes(contents: RunContents) -> Section:
    """Return the section."""
    blocks: list[Block] = [_figure(contents), _table(contents)]
    return Section("scores", f"Scores of the {contents.split} split by class", blocks)


def _figure(contents: RunContents) -> Figure:
    scores, labels, names = contents.scores, contents.found.labels, contents.classes
    known = [i for i, each in enumerate(scores.ap[: len(names)]) if each.value is not None]
    order = sorted(known, key=lambda i: -(scores.ap[i].value or 0.0))
    drawing = draw_intervals(
        "scores-chart", "Average precision and F1 by class", [contents.short_classes[i] for i in order],
        {
            "average precision": [in_percent(scores.ap[i]) for i in order],
            "F1": [in_percent(scores.f1[i]) for i in order],
        },
        "score, %",
    )  # fmt: skip
    macro, micro = len(names), len(names) + 1
    text = (
        f"{patches(len(labels))}. Average precision macro {in_words(scores.ap[macro])}, micro "
        f"{in_words(scores.ap[micro])}; F1 macro {in_words(scores.f1[macro])}, micro {in_words(scores.f1[micro])}, "
        f"{contents.threshold_words}. Macro is the mean over the classes that occur, micro is of all decisions at once."
    )
    if len(order) > 1:
        text += f" Average precision is highest for {names[order[0]]} and lowest for {names[order[-1]]}."
    ignored = contents.found.ignored
    absent = [names[i] for i in range(len(names)) if i not in known and names[i] not in ignored]
    text += f" Neither trained nor measured (data.ignore_labels): {listed(ignored, len(names))}." if ignored else ""
    text += f" No patch has: {listed(absent, len(names))}." if absent else ""
    return Figure("scores-figure-classes", f"{text} {contents.interval_words}", (Drawing(drawing),))


def _table(contents: RunContents) -> Table:
    found, scores, tiles, names = contents.found, contents.scores, contents.tiles, contents.classes
    decided = decide(found.probabilities, None, found.nomenclature)
    fixed = f1_scores(decided, found.labels, np.zeros(len(found.keys), np.int64), np.ones((1, 1))).classes[:, 0]
    rows = []
    areas = [_area(found.probabilities[:, i], found.labels[:, i]) for i in range(len(names))]
    if contents.evaluated is not None:
        measured = [contents.evaluated.classes[name] for name in names]
        fixed = np.array([np.nan if each.f1 is None else each.f1 for each in measured])
        areas = [area if each.auroc is None else each.auroc for each, area in zip(measured, areas, strict=True)]
    for i, name in enumerate(names):
        has = found.labels[:, i] > 0
        rows.append(
            [
                Cell(f"{name} (ignored)" if name in found.ignored else name),
                count_cell(int(has.sum())),
                count_cell(None if tiles is None else tiles.of(has)),
                percent_cell(scores.ap[i].value),
                interval_cell(scores.ap[i]),
                percent_cell(scores.f1[i].value),
                interval_cell(scores.f1[i]),
                percent_cell(None if np.isnan(fixed[i]) else float(fixed[i])),
                percent_cell(areas[i]),
                number_cell(None if contents.thresholds is None else contents.thresholds[name], 3),
            ]
        )
    macro, none = len(names), Cell(NONE, -np.inf)
    total = [
        Cell("macro"),
        count_cell(len(found.keys)),
        count_cell(None if tiles is None else tiles.count),
        percent_cell(scores.ap[macro].value),
        interval_cell(scores.ap[macro]),
        percent_cell(scores.f1[macro].value),
        interval_cell(scores.f1[macro]),
        none,
        percent_cell(mean([area for area in areas if area is not None])),
        none,
    ]
    columns = ["class", "patches", "tiles", "AP, %", f"AP, {INTERVAL}", "F1, %", f"F1, {INTERVAL}", "F1 at 0.5, %",
               "AUROC, %", "threshold"]  # fmt: skip
    caption = (
        f"Average precision (AP) and F1 {contents.threshold_words}, with the patches that have the class and the tiles "
        "they lie in; area under the receiver operating characteristic (AUROC), of which guessing has 50 %. "
    )
    caption += (
        "Scores are those of the evaluation, intervals those of its predictions, whose probabilities are kept with 11 "
        "binary digits."
        if contents.evaluated is not None
        else "Probabilities are kept with 11 binary digits: where a network gives many patches nearly the same "
        "probability, scores differ from those of the evaluation."
    )
    return Table("scores-table", caption, columns, rows, total)


def _area(probabilities: NDArray[np.float16], labels: NDArray[np.uint8]) -> float | None:
    """Return the AUROC of a class; None if all patches have it or none has."""
    if not 0 < labels.sum() < len(labels):
        return None
    return area_under_roc(torch.from_numpy(probabilities.astype(np.float32)), torch.from_numpy(labels.astype(np.int64)))
