"""Scores of a run as its folder holds them, with intervals where the predictions behind them are there, too."""

from dataclasses import dataclass
from typing import Any, Final

from shards.errors import BepError
from trainer.inference.trained import TrainedRun
from trainer.metrics.bootstrap import Intervals, intervals
from trainer.metrics.metrics import Metrics
from trainer.runs import folder as run_folder
from trainer.runs.predictions import Predictions

SPLITS: Final = ("test", "validation")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Scores on a split.

    Attributes:
        split: its name.
        source_version: version of BigEarthNet that the patches are of.
        where: condition that they fulfil; None for none.
        metrics: the scores.
        intervals: of the scores; None without predictions, or with those of one tile alone.
    """

    split: str
    source_version: str
    where: str | None
    metrics: Metrics
    intervals: Intervals | None


def measured(run: TrainedRun) -> list[Measured]:
    """Return the scores of a run on the patches that it had of the splits, the test split first.

    Those of the validation split are in the checkpoint, too. Files of another epoch than that of the checkpoint, and
    damaged ones, are left out.
    """
    found = []
    for split in SPLITS:
        scores = _of_files(run, split)
        if scores is None and split == "validation" and run.checkpoint.metrics is not None:
            scores = _of_checkpoint(run)
        if scores is not None:
            found.append(scores)
    return found


def _of_files(run: TrainedRun, split: str) -> Measured | None:
    if run.written is None:
        return None
    try:
        values = run_folder.read_json(run.folder / run_folder.split_metrics(split))
        metrics = Metrics.from_json(values)
        if values["epoch"] != run.checkpoint.epoch:
            return None
        return Measured(
            split=split,
            source_version=values["source_version"],
            where=values["where"],
            metrics=metrics,
            intervals=_intervals(run, split, values),
        )
    except (BepError, OSError, KeyError, TypeError, ValueError, AttributeError):
        return None


def _of_checkpoint(run: TrainedRun) -> Measured | None:
    assert run.checkpoint.metrics is not None
    try:
        metrics = Metrics.from_json(run.checkpoint.metrics)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return Measured(
        split="validation",
        source_version=run.checkpoint.source_version,
        where=run.trained.data.where,
        metrics=metrics,
        intervals=None,
    )


def _intervals(run: TrainedRun, split: str, values: dict[str, Any]) -> Intervals | None:
    """Return the intervals of results; None without the predictions that they follow from."""
    try:
        predictions = Predictions.read(run.folder / run_folder.split_predictions(split))
    except BepError:
        return None
    same = all(predictions.about.get(name) == values.get(name) for name in ("rows_sha256", "epoch"))
    return intervals(predictions.keys, predictions.labels, predictions.probabilities) if same else None
