"""Precision over recall of each class."""

import numpy as np

from bigearth_pipeline.report.figure.lines import SMALL, Axis, Line, draw_lines
from bigearth_pipeline.report.page.blocks import Drawing, Figure, Section, Text
from bigearth_pipeline.report.run.contents import RunContents
from bigearth_pipeline.report.scores.curves import precision_recall as curve_of
from bigearth_pipeline.report.scores.curves import thinned

_LIMITS = (-2.0, 102.0)


def precision_recall(contents: RunContents) -> Section:
    """Return the section."""
    found = contents.found
    present = np.flatnonzero(found.labels.any(axis=0))
    if not len(present):
        return Section("precision-recall", "Precision and recall", (Text("No patch has a class."),))
    order = sorted(present.tolist(), key=lambda i: -int(found.labels[:, i].sum()))
    text = (
        f"Precision over recall of the {contents.split} split at all thresholds, for the {len(order)} of "
        f"{len(contents.classes)} classes that occur, the most frequent first. The dot is the decision "
        f"{contents.threshold_words}, the thin line the share of patches that have the class: the precision of "
        "guessing. The area below the curve is about the average precision, which stands above it."
    )
    panels = [Drawing(_panel(contents, i)) for i in order]
    return Section("precision-recall", "Precision and recall", (Figure("pr-figure", text, panels, "medium"),))


def _panel(contents: RunContents, i: int) -> str:
    labels, has = contents.found.labels[:, i], contents.found.labels[:, i] > 0
    predicted = contents.predicted[:, i]
    curve = thinned(curve_of(contents.found.probabilities[:, i], labels))
    lines = [Line("", 100 * curve.recall, 100 * curve.precision, 0)]
    if predicted.any():
        hits = (predicted & has).sum()
        at = np.array([[hits / has.sum()], [hits / predicted.sum()]])
        lines.append(Line("", 100 * at[0], 100 * at[1], 1))
    ap = contents.scores.ap[i].value
    return draw_lines(
        f"pr-{i}", f"Precision and recall of {contents.classes[i]}", lines, Axis(words="recall, %", limits=_LIMITS),
        Axis(words="precision, %", limits=_LIMITS), heading=f"{contents.short_classes[i]}: {100 * (ap or 0.0):.1f} %",
        level=100 * float(has.mean()), width=SMALL, height=2.1,
    )  # fmt: skip
