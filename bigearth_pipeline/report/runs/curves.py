"""The courses of several trainings on top of each other."""

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.report.figure.lines import Axis, Line, distinct_names, draw_lines
from bigearth_pipeline.report.page.blocks import Block, Drawing, Figure, Section, Text
from bigearth_pipeline.report.run.curves import epochs, series
from bigearth_pipeline.report.runs.contents import RunsContents
from shards.text.words import counted


def curves(contents: RunsContents) -> Section:
    """Return the section."""
    title = "Courses of the trainings"
    if not any(contents.runs[i].record.epochs for i in contents.shown):
        return Section("curves", title, (Text("No epoch of these runs has ended yet."),))
    found: list[Block] = [
        _chart(contents, "train", "Training loss", ("train_loss",), "mean training loss"),
        _chart(contents, "loss", "Validation loss", ("validation", "loss"), "mean validation loss"),
        _chart(contents, "ap", "Validation score", ("validation", "ap_macro"), "validation AP macro, %", 0.01),
        _chart(contents, "time", "Validation score", ("validation", "ap_macro"), "validation AP macro, %", 0.01,
               over_time=True),
    ]  # fmt: skip
    return Section("curves", title, found)


def _chart(
    contents: RunsContents, name: str, title: str, path: tuple[str, ...], words: str, unit: float = 1, *,
    over_time: bool = False,
) -> Figure | Text:  # fmt: skip
    lines: list[Line] = []
    names = distinct_names(contents.names)
    ends: list[tuple[float, str]] = []
    for i in contents.shown:
        record = contents.runs[i].record
        values = series(record, *path, unit=unit)
        across: NDArray[np.float64] = series(record, "seconds", unit=60) if over_time else epochs(record)
        if (np.isfinite(values) & np.isfinite(across)).any():
            lines.append(Line(names[i], across, values, i))
            ends.append((float(np.nanmax(values) if unit != 1 else np.nanmin(values)), contents.names[i]))
    if not lines:
        return Text(f"{title}: no run says it.")
    axis = Axis(words="minutes of training and validation") if over_time else Axis(words="epoch", whole=True)
    drawing = draw_lines(
        f"runs-curves-{name}", title, lines, axis, Axis(words=words), marks=max(len(line.x) for line in lines) < 40,
        height=2.4 + 0.15 * (len(lines) // 2),
    )  # fmt: skip
    value, best = max(ends) if unit != 1 else min(ends)
    text = f"{title} of {counted(len(lines), 'run')} by {'time' if over_time else 'epoch'}."
    if apart := "" if name == "train" else contents.apart_words:
        text += apart
    else:
        text += (
            f" {'Highest' if unit != 1 else 'Lowest'}: {best} with "
            f"{value:{'.1f' if unit != 1 else '.4f'}}{' %' if unit != 1 else ''}."
        )
    return Figure(f"runs-{name}-figure", text, (Drawing(drawing),))
