"""One run as its folder tells it: options, epochs and results, whether it has ended or not."""

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from shards.storage.lock import is_held
from shards.storage.safe_open import open_regular_file
from trainer.config import stored
from trainer.config.options import TrainConfig
from trainer.errors import TrainError
from trainer.runs import folder as run_folder
from trainer.runs.scored import SCORED
from trainer.training.epochs.early_stopping import is_out_of_patience

State = Literal["finished", "running", "stopped"]

_MAX_NUMBER: Final = 2**53
"""Larger ones are no figures of a run, and no number of a table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run, read from its folder.

    Attributes:
        folder: of the run.
        config: its options.
        description: what `description.json` holds; empty if it is absent.
        epochs: the lines of `metrics.jsonl`, one an epoch; a line that is cut off is left out.
        results: the results on the patches that the run had of a split, by split; see `trainer.runs.results`.
        state: `running` while a process trains it, `finished` at its end, else `stopped`.
    """

    folder: Path
    config: TrainConfig
    description: dict[str, Any]
    epochs: list[dict[str, Any]]
    results: dict[str, dict[str, Any]]
    state: State

    @classmethod
    def read(cls, folder: Path) -> "RunRecord":
        """Read a run.

        Raises:
            TrainError: the folder holds no run, or a file of it is damaged.
            OSError: a file cannot be read.
        """
        config = stored.read(folder)
        description: dict[str, Any] = {}
        path = run_folder.description_path(folder)
        if path.exists():
            description = run_folder.read_json(path)
        epochs = _epochs(folder / run_folder.METRICS)
        results = {}
        for split in ("train", "validation", "test"):
            result = folder / run_folder.split_metrics(split)
            if result.exists():
                results[split] = run_folder.read_json(result)
        state: State = "finished" if _is_finished(config, epochs) else "stopped"
        if is_held(folder / run_folder.LOCK):
            state = "running"
        return cls(folder=folder, config=config, description=description, epochs=epochs, results=results, state=state)

    @property
    def best(self) -> dict[str, Any] | None:
        """The line of the epoch that the best checkpoint is of; None before the first epoch has ended."""
        return next((epoch for epoch in reversed(self.epochs) if epoch.get("is_best")), None)

    @property
    def seconds(self) -> float | None:
        """Wall-clock time of training and validation so far; None if the run does not say."""
        return _number(self.epochs[-1], "seconds") if self.epochs else None

    @property
    def scored_on(self) -> str:
        """Digits that runs share if their scores are of the same patches, labels and classes, and so compare.

        An old run, which does not say its patches, shares them with runs of the same store and conditions.
        """
        data = self.config.data
        patches = self.description.get(SCORED)
        if patches is None:
            patches = [self.description.get("manifest_sha256"), data.where, str(data.patches)]
        found = json.dumps([data.classes, sorted(data.ignore_labels), patches], sort_keys=True)
        return hashlib.sha256(found.encode()).hexdigest()[:12]

    def to_json(self) -> dict[str, Any]:
        """Return the run as JSON values: its options by table, and what came of it."""
        best, last = self.best or {}, self.epochs[-1] if self.epochs else {}
        device = self.description.get("device")
        return self.config.to_json() | {
            "name": str(self.folder),
            "state": self.state,
            "parameters": _number(self.description, "parameters"),
            "device": device if isinstance(device, str) else None,
            "epoch": len(self.epochs),
            "best_epoch": best.get("epoch"),
            "train_loss": _number(last, "train_loss"),
            "validation": _scores(best.get("validation")),
            "test": _scores(self.results.get("test")),
            "scored_on": self.scored_on,
            "seconds": self.seconds,
            "patches_per_second": _median([_number(epoch, "patches_per_second") for epoch in self.epochs]),
            "wait_share": _median([_number(epoch, "wait_share") for epoch in self.epochs]),
        }


def _is_finished(config: TrainConfig, epochs: list[dict[str, Any]]) -> bool:
    if not epochs:
        return False
    best = max((epoch["epoch"] for epoch in epochs if epoch.get("is_best")), default=0)
    return (
        len(epochs) >= config.optimisation.epochs
        or (_number(epochs[-1], "step") or 0) >= (config.run.max_steps or math.inf)
        or is_out_of_patience(len(epochs), best, config.run.patience)
    )


def _epochs(path: Path) -> list[dict[str, Any]]:
    try:
        file = open_regular_file(path)
    except FileNotFoundError:
        return []
    epochs: list[dict[str, Any]] = []
    with file:
        while line := file.readline(run_folder.MOST_LINE_BYTES):
            if not line.endswith(b"\n"):
                # It is being written, or was when the run was killed.
                break
            try:
                epoch = run_folder.parse(line)
            except ValueError as err:
                raise TrainError(f"{path} is damaged: line {len(epochs) + 1}: {err}") from err
            if epoch.get("epoch") != len(epochs) + 1:
                raise TrainError(f"{path} is damaged: line {len(epochs) + 1} is not of epoch {len(epochs) + 1}")
            epochs.append(epoch)
    return epochs


def _scores(metrics: Any) -> dict[str, float | None]:
    """Return the scores that tables show: average precision, and F1 at the thresholds tuned on validation."""
    return {
        "loss": _number(metrics, "loss"),
        "ap_macro": _number(metrics, "ap_macro"),
        "ap_micro": _number(metrics, "ap_micro"),
        "auroc_macro": _number(metrics, "auroc_macro"),
        "f1_macro": _number(metrics, "tuned", "macro", "f1"),
        "f1_micro": _number(metrics, "tuned", "micro", "f1"),
        "patches": _number(metrics, "count"),
    }


def _number(values: Any, *path: str) -> float | None:
    """Return the number at a path of nested objects; None if the path leads to no number."""
    for name in path:
        values = values.get(name) if isinstance(values, dict) else None
    return values if type(values) in (int, float) and abs(values) < _MAX_NUMBER else None


def _median(values: list[float | None]) -> float | None:
    ordered = sorted(value for value in values if value is not None)
    return ordered[len(ordered) // 2] if ordered else None
