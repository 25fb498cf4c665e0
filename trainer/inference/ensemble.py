"""Several runs whose probabilities are averaged."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from shards import BANDS
from shards.errors import InvalidValue
from trainer.definition.choices import DeviceName, Tta
from trainer.inference.average import mean_logits
from trainer.inference.predictor import Predictor, load
from trainer.models.spec import ModelSpec


class Ensemble:
    """One or more predictors whose probabilities are averaged; used as a single one is.

    Attributes:
        members: the predictors, at least one.
        bands: names of the bands that one of them sees, in the order of a record.
        nomenclature: its classes.
        classes: names of the outputs, in order.
        thresholds: by class name: the mean of the members' thresholds, each tuned for its own network.
        device: of the first member.
        batch_size: records that the members take at a time.
    """

    def __init__(self, members: Sequence[Predictor]) -> None:
        """Take predictors.

        Raises:
            InvalidValue: `members` is empty, or two members differ in their classes or in those that they ignore.
        """
        if not members:
            raise InvalidValue("no run is named, expected at least one")
        self.members = tuple(members)
        check_classes([each.network.spec for each in members], [each.run.folder for each in members])
        seen = {band for member in members for band in member.bands}
        self.bands = tuple(band for band in BANDS if band in seen)
        self.nomenclature = members[0].nomenclature
        self.classes = members[0].classes
        self.thresholds = mean_thresholds([member.thresholds for member in members])
        self.device = members[0].device
        self.batch_size = members[0].batch_size

    @property
    def about(self) -> list[dict[str, Any]]:
        """Facts that the predictions depend on, for each member."""
        return [member.about for member in self.members]

    def probabilities(self, records: NDArray[np.uint16]) -> NDArray[np.float32]:
        """Return the mean probabilities of (n, 80000) records, (n, C)."""
        logits: list[torch.Tensor] = [member.record_logits(records) for member in self.members]
        return mean_logits(logits).sigmoid().numpy()


def check_classes(models: Sequence[ModelSpec], runs: Sequence[Path]) -> None:
    """Check that runs to be averaged were trained for the same classes.

    Raises:
        InvalidValue: a run has other classes than the first, or ignores others: the mean would halve probabilities.
    """
    first = models[0]
    for model, run in zip(models, runs, strict=True):
        if model.classes != first.classes:
            raise InvalidValue(
                f"{runs[0]} is trained on {first.classes} classes, and {run} on {model.classes}; average runs that "
                "were trained for the same classes"
            )
        if model.ignored != first.ignored:
            both = ["; ".join(each) or "no class" for each in (first.ignored, model.ignored)]
            raise InvalidValue(
                f"{runs[0]} ignores {both[0]} (data.ignore_labels), and {run} ignores {both[1]}; "
                "average runs that were trained for the same classes"
            )


def mean_thresholds(thresholds: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the mean threshold of each class."""
    return {name: fmean(each[name] for each in thresholds) for name in thresholds[0]}


def check_distinct(runs: Sequence[Path]) -> None:
    """Raise `InvalidValue` if a run is named twice, which would count twice in the mean."""
    places = [run.resolve() for run in runs]
    for run, place in zip(runs, places, strict=True):
        if places.count(place) > 1:
            raise InvalidValue(f"run {run} is named twice; it would count twice in the mean")


def load_ensemble(
    runs: Sequence[Path | str], *, device: DeviceName = "auto", tta: Tta = "none", batch_size: int | None = None
) -> Ensemble:
    """Load the best networks of one or more runs; see `trainer.inference.predictor.load`.

    Raises:
        InvalidValue: no run is named, or one twice.
        TrainError, OSError: as `load` raises them.
    """
    check_distinct([Path(run) for run in runs])
    return Ensemble([load(run, device=device, tta=tta, batch_size=batch_size) for run in runs])
