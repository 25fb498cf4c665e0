"""The course of a training: loss, scores, learning rate, patches/s and waiting for the loader, by epoch."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.report.figure.lines import SMALL, Axis, Line, draw_lines
from bigearth_pipeline.report.page.blocks import Block, Drawing, Figure, Section, Table, Text
from bigearth_pipeline.report.page.numbers import count_cell, number_cell
from bigearth_pipeline.report.run.contents import RunContents
from bigearth_pipeline.report.run.words import number_at, percent_cell
from trainer.definition.choices import MONITOR_WORDS
from trainer.history.record import RunRecord

_EPOCH = Axis(words="epoch", whole=True)


def series(record: RunRecord, *path: str, unit: float = 1) -> NDArray[np.float64]:
    """Return a number of each epoch, (epochs,) float64, in units of `unit`; NaN where the run does not say it."""
    found = [number_at(epoch, *path) for epoch in record.epochs]
    return np.array([np.nan if value is None else value / unit for value in found], np.float64)


def epochs(record: RunRecord) -> NDArray[np.float64]:
    """Return the numbers of the epochs, from 1."""
    return np.arange(1, len(record.epochs) + 1, dtype=np.float64)


def curves(contents: RunContents) -> Section:
    """Return the section."""
    record = contents.record
    if not record.epochs:
        return Section("curves", "Course of the training", (Text("No epoch has ended yet."),))
    return Section("curves", "Course of the training", (*_learning(record), _speed(record), _table(record)))


def _lines(record: RunRecord, found: Sequence[tuple[str, NDArray[np.float64]]]) -> list[Line]:
    known = [(name, values) for name, values in found if np.isfinite(values).any()]
    return [Line(name, epochs(record), values, i) for i, (name, values) in enumerate(known)]


def _learning(record: RunRecord) -> tuple[Block, ...]:
    train, validation = series(record, "train_loss"), series(record, "validation", "loss")
    loss = draw_lines(
        "curves-loss", "Loss by epoch", _lines(record, [("training", train), ("validation", validation)]), _EPOCH,
        Axis(words="mean loss"), marks=len(train) < 40,
    )  # fmt: skip
    shown = [
        ("AP macro", ("validation", "ap_macro")),
        ("AP micro", ("validation", "ap_micro")),
        ("F1 macro, tuned thresholds", ("validation", "tuned", "macro", "f1")),
    ]
    known = _lines(record, [(name, series(record, *path, unit=0.01)) for name, path in shown])
    scores = draw_lines(
        "curves-scores", "Validation scores by epoch", known, _EPOCH,
        Axis(words="validation score, %"), marks=len(train) < 40,
    )  # fmt: skip
    best = record.best
    lowest = np.nanargmin(validation) + 1 if np.isfinite(validation).any() else None
    of_loss = f"Mean loss of training, with augmentation and in training mode{', and of validation' if known else ''}."
    if np.isfinite(train).any():
        of_loss += f" Training ends at {train[np.isfinite(train)][-1]:.4f}."
    if lowest is not None:
        of_loss += f" Validation is lowest in epoch {lowest}, with {np.nanmin(validation):.4f}."
    ap = None if best is None else number_at(best, "validation", "ap_macro")
    of_scores = "Scores of the validation split after each epoch."
    if best is not None and ap is not None:
        monitor = record.config.run.monitor
        of_scores += (
            f" AP macro is best in epoch {best['epoch']}, with {100 * ap:.1f} %"
            if monitor == "ap_macro"
            else f" Epoch {best['epoch']} is best by {MONITOR_WORDS[monitor]}, and has an AP macro of {100 * ap:.1f} %"
        )
        of_scores += "; that checkpoint is used. F1 is at thresholds tuned on the same patches."
    of_loss_alone = Figure("loss-figure", of_loss, (Drawing(loss),))
    if not known:
        return (of_loss_alone, Text("The run was not validated."))
    return (of_loss_alone, Figure("scores-figure", of_scores, (Drawing(scores),)))


def _speed(record: RunRecord) -> Block:
    found = [
        ("lr", "Learning rate", "learning rate", "", series(record, "lr")),
        ("rate", "Throughput", "patches/s", " patches/s", series(record, "patches_per_second")),
        ("wait", "Waiting for the loader", "share of the time, %", " %", series(record, "wait_share", unit=0.01)),
    ]
    panels, words = [], []
    for name, heading, unit, unit_words, values in found:
        known = values[np.isfinite(values)]
        if not len(known):
            words.append(f"{heading} is not known")
            continue
        drawing = draw_lines(
            f"curves-{name}", f"{heading} by epoch", [Line("", epochs(record), values, 0)], _EPOCH,
            Axis(words=unit, limits=(0, max(float(known.max()) * 1.08, 1e-12))), heading=heading,
            marks=len(values) < 40, width=SMALL, height=1.9,
        )  # fmt: skip
        panels.append(Drawing(drawing))
        low, high = f"{known.min():,.3g}", f"{known.max():,.3g}"
        words.append(f"{heading} {low if low == high else f'from {low} to {high}'}{unit_words}")
    if not panels:
        return Text("The run says neither learning rates nor speed.")
    text = (
        "Learning rate of the last step, patches trained a second, and the share of the time in which training waited "
        f"for the loader, of each epoch. {'; '.join(words)}."
    )
    return Figure("speed-figure", text, panels, "medium")


def _table(record: RunRecord) -> Table:
    rows = [
        [
            count_cell(number),
            number_cell(number_at(epoch, "train_loss"), 4),
            number_cell(number_at(epoch, "validation", "loss"), 4),
            percent_cell(number_at(epoch, "validation", "ap_macro")),
            percent_cell(number_at(epoch, "validation", "ap_micro")),
            percent_cell(number_at(epoch, "validation", "tuned", "macro", "f1")),
            number_cell(number_at(epoch, "lr"), 6),
            number_cell(number_at(epoch, "patches_per_second"), 0),
            percent_cell(number_at(epoch, "wait_share")),
            number_cell(number_at(epoch, "seconds"), 0),
        ]
        for number, epoch in enumerate(record.epochs, 1)
    ]
    columns = ["epoch", "train loss", "validation loss", "AP macro, %", "AP micro, %", "F1 macro, %", "learning rate",
               "patches/s", "loader wait, %", "seconds since the start"]  # fmt: skip
    return Table("epochs-table", "Epochs as a table; scores are of the validation split", columns, rows, folded=True)
