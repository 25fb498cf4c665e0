"""Curves and scores of runs in one picture, from the files that trainings write, without predictions and stores."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.report.figure.intervals import Value
from bigearth_pipeline.report.figure.lines import Axis, Line, distinct_names
from bigearth_pipeline.report.figure.look import SERIES
from bigearth_pipeline.report.figure.panels import FORMATS, Format, Panel, Rows, draw_panels
from bigearth_pipeline.report.run.curves import epochs, series
from bigearth_pipeline.report.run.words import number_at
from bigearth_pipeline.report.store.contents import short_names
from trainer.history.groups import grouped
from trainer.history.names import run_names
from trainer.history.record import RunRecord

MOST_RUNS: Final = len(SERIES)
"""Runs in a picture: each has a colour of its own."""
_EPOCH: Final = Axis(words="epoch", whole=True)
_CURVES: Final[tuple[tuple[str, str, tuple[str, ...], float], ...]] = (
    ("Training loss", "mean loss", ("train_loss",), 1),
    ("Validation loss", "mean loss", ("validation", "loss"), 1),
    ("Validation score", "AP macro, %", ("validation", "ap_macro"), 0.01),
)
"""Heading, words of the axis, place in a line of `metrics.jsonl`, and unit."""


def format_of(out: Path) -> Format:
    """Return the format that the name of a file says.

    Raises:
        PipelineError: it says none.
    """
    for each in FORMATS:
        if out.suffix.lower() == f".{each}":
            return each
    raise PipelineError(f"`out={out}` has the suffix {out.suffix!r}, expected .png or .svg")


def plot_runs(folders: Sequence[Path], file_format: Format) -> bytes:
    """Return a picture of the curves of runs and of their average precision by class.

    Scores are those of the test split if all runs have results on it, else those of the validation split in the best
    epoch; without them the picture has curves alone. Headings say if the scores are of different patches.

    Args:
        folders: of the runs, ended or not.
        file_format: `png` or `svg`.

    Raises:
        PipelineError: there are more runs than colours, or no epoch of them has ended.
        TrainError: a folder holds no run, or a file of it is damaged.
        OSError: a file cannot be read.
    """
    if len(folders) > MOST_RUNS:
        raise PipelineError(f"{len(folders)} runs, expected at most {MOST_RUNS}, a colour each; name fewer")
    records = [RunRecord.read(folder) for folder in folders]
    if not any(record.epochs for record in records):
        raise PipelineError("no epoch of these runs has ended, so there is nothing to draw; wait for the first one")
    names = distinct_names(run_names(folders))
    apart = ", of different patches" if len(grouped(records)) > 1 else ""
    panels = [
        Panel(
            # In two lines, for a third of the width has no room for one.
            heading if path[0] == "train_loss" else heading + apart.replace(", ", ",\n"),
            [
                Line(name, epochs(record), series(record, *path, unit=unit), i)
                for i, (name, record) in enumerate(zip(names, records, strict=True))
                if record.epochs
            ],
            _EPOCH,
            Axis(words=words),
        )
        for heading, words, path, unit in _CURVES
    ]
    return draw_panels(panels, _rows(records, names, apart), names, file_format)


def _rows(records: Sequence[RunRecord], names: Sequence[str], apart: str) -> Rows | None:
    """Return average precision by class, the highest of the first run on top; None if no run has any."""
    split = "test" if all("test" in record.results for record in records) else "validation"
    numbers = sorted({record.config.data.classes for record in records})
    if len(numbers) > 1:
        raise PipelineError(
            f"these runs are trained on {' and on '.join(map(str, numbers))} classes, whose scores cannot stand side "
            "by side; draw them apart"
        )
    classes = records[0].config.data.nomenclature.names
    found = {name: _precisions(_result(record, split), classes) for name, record in zip(names, records, strict=True)}
    first = next(iter(found.values()))
    present = [i for i in range(len(classes)) if any(values[i] is not None for values in found.values())]
    if not present:
        return None
    order = sorted(present, key=lambda i: -(first[i] or 0.0))
    values: dict[str, list[Value]] = {name: [(each[i], None, None) for i in order] for name, each in found.items()}
    labels = [short_names(classes)[i] for i in order]
    return Rows(f"Average precision by class, {split} split{apart}", labels, values, "average precision, %")


def _result(record: RunRecord, split: str) -> dict[str, Any]:
    return record.results.get(split) or (record.best or {}).get(split) or {}


def _precisions(result: dict[str, Any], classes: Sequence[str]) -> list[float | None]:
    """Return the average precision of each class in percent; None for one that does not occur."""
    found = [number_at(result, "classes", name, "ap") for name in classes]
    return [None if value is None else 100 * value for value in found]
