"""Scores of a run as its folder holds them, with intervals where the predictions behind them are there, too."""

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from shards.errors import BepError
from shards.metadata.manifest import dataset_name
from trainer.inference.trained import TrainedRun
from trainer.metrics.intervals.bootstrap import Estimate
from trainer.metrics.intervals.table import score
from trainer.metrics.intervals.tiles import Tiles, acquisitions_of_names, tiles_of_names
from trainer.metrics.metrics import Metrics
from trainer.runs import folder as run_folder
from trainer.runs.predictions import Predictions

SPLITS: Final = ("test", "validation")
Interval: TypeAlias = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """Intervals of scores; None where there are too few tiles for one.

    Attributes:
        tiles: units that were drawn.
        ap_macro: of the average precision, macro over the classes that occur.
        ap_micro: likewise, micro.
        f1_macro: of F1 at 0.5, macro over the classes that occur.
        f1_micro: likewise, micro.
        classes: of the average precision by class name.
    """

    tiles: Tiles
    ap_macro: Interval | None
    ap_micro: Interval | None
    f1_macro: Interval | None
    f1_micro: Interval | None
    classes: dict[str, Interval | None]

    @classmethod
    def of(cls, predictions: Predictions) -> "Intervals | None":
        """Return the intervals of predictions; None if names of patches do not tell enough tiles or acquisitions."""
        tiles = tiles_of_names(predictions.keys) or acquisitions_of_names(predictions.keys)
        if tiles is None or not tiles.are_enough:
            return None
        found = score(predictions.probabilities, predictions.labels, None, tiles, predictions.nomenclature)
        ap, f1 = list(map(_interval, found.ap)), list(map(_interval, found.f1))
        return cls(
            tiles=tiles,
            ap_macro=ap[-2],
            ap_micro=ap[-1],
            f1_macro=f1[-2],
            f1_micro=f1[-1],
            classes=dict(zip(predictions.nomenclature.names, ap[:-2], strict=True)),
        )


def _interval(found: Estimate) -> Interval | None:
    return None if found.low is None or found.high is None else (found.low, found.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Scores on a split.

    Attributes:
        split: its name.
        source_version: version of BigEarthNet that the patches are of.
        synthetic: they are synthetic data in its layout.
        where: condition that they fulfil; None for none.
        metrics: the scores.
        intervals: of the scores; None without predictions, or with those of too few tiles.
    """

    split: str
    source_version: str
    synthetic: bool
    where: str | None
    metrics: Metrics
    intervals: Intervals | None

    @property
    def dataset(self) -> str:
        """Name of the data, such as `BigEarthNet v2`."""
        return dataset_name(self.source_version, synthetic=self.synthetic)


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
        metrics = Metrics.from_json(values, run.checkpoint.classes)
        if values["epoch"] != run.checkpoint.epoch:
            return None
        return Measured(
            split=split,
            source_version=values["source_version"],
            # These are results on the store of the run.
            synthetic=run.checkpoint.synthetic,
            where=values["where"],
            metrics=metrics,
            intervals=_intervals(run, split, values),
        )
    except (BepError, OSError, KeyError, TypeError, ValueError, AttributeError):
        return None


def _of_checkpoint(run: TrainedRun) -> Measured | None:
    assert run.checkpoint.metrics is not None
    try:
        metrics = Metrics.from_json(run.checkpoint.metrics, run.checkpoint.classes)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return Measured(
        split="validation",
        source_version=run.checkpoint.source_version,
        synthetic=run.checkpoint.synthetic,
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
    return Intervals.of(predictions) if same else None
