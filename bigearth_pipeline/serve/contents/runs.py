"""A run that is open for the server: its record, its network on demand, and its predictions on patches of a store."""

import threading
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.report.run.contents import read_predictions, thresholds_of
from bigearth_pipeline.serve.contents.stores import OpenStore
from bigearth_pipeline.serve.map.tiles import UNKNOWN
from bigearth_pipeline.serve.patch.cache import Cache
from shards import CLASSES
from shards.layout.classes import NINETEEN, Nomenclature
from trainer.definition.choices import DeviceName
from trainer.errors import TrainError
from trainer.history.record import RunRecord
from trainer.inference import Predictor, load
from trainer.metrics.intervals.table import decide
from trainer.metrics.thresholds import THRESHOLD
from trainer.runs.folder import BEST, split_predictions
from trainer.runs.predictions import Predictions
from trainer.runs.store_place import find_store

SPLITS: Final = ("test", "validation")
"""Splits whose predictions are looked for."""
_STORES: Final = 8


@dataclass(frozen=True, eq=False)
class Predicted:
    """Predictions of a run on patches of a store.

    Attributes:
        rows: of the store's index, (n,) int64.
        probabilities: (n, 19) float16.
        decided: at the thresholds, (n, 19) bool.
        right: (patches of the store,) uint32: bit i is set where class i is decided as labelled.
        known: (patches of the store,) bool: True for those that are predicted.
        measured: (19,) bool: False for classes that the run was not trained for.
        version: times of the files, which distinguish these predictions from earlier ones.
    """

    rows: NDArray[np.int64]
    probabilities: NDArray[np.float16]
    decided: NDArray[np.bool_]
    right: NDArray[np.uint32]
    known: NDArray[np.bool_]
    measured: NDArray[np.bool_]
    version: tuple[int, ...]

    def outcome(self, label: int | None) -> NDArray[np.int8]:
        """Return 1 where the run has a patch right, 0 where wrong, `UNKNOWN` elsewhere, (patches,) int8.

        Args:
            label: number of the class that counts; None for all that the run was trained for.
        """
        if label is not None and not self.measured[label]:
            return np.full(len(self.known), UNKNOWN, np.int8)
        if label is None:
            right = self.right == np.uint32((1 << len(CLASSES)) - 1)
        else:
            right = (self.right >> np.uint32(label) & 1).astype(np.bool_)
        return np.where(self.known, right, UNKNOWN).astype(np.int8)


@dataclass(frozen=True, eq=False)
class OpenRun:
    """A run.

    Attributes:
        number: in the addresses of the server.
        folder: of the run.
        name: that distinguishes it among those of the server.
        device: that its network computes on.
    """

    number: int
    folder: Path
    name: str
    device: DeviceName
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _loaded: dict[int, Predictor] = field(default_factory=dict, repr=False)
    _predicted: Cache[Predicted | None] = field(default_factory=lambda: Cache(_STORES), repr=False)

    def record(self) -> RunRecord:
        """Read what the run's files say by now.

        Raises:
            TrainError: a file is damaged.
            OSError: a file cannot be read.
        """
        return RunRecord.read(self.folder)

    def about(self) -> dict[str, Any]:
        """Return facts for the page, as JSON values."""
        return {"number": self.number, "folder": str(self.folder), "name": self.name}

    @cached_property
    def nomenclature(self) -> Nomenclature:
        """Classes that it is trained on.

        Raises:
            TrainError: a file is damaged.
            OSError: a file cannot be read.
        """
        return self.record().config.data.nomenclature

    def num_classes(self) -> int | None:
        """Return the number of classes that it is trained on; None where its files do not say."""
        try:
            return len(self.nomenclature)
        except (TrainError, OSError):
            return None

    def store_folder(self) -> Path | None:
        """Return the folder of its store; None if it is absent."""
        return find_store(self.record().config.data.shards, self.folder)

    @property
    def version(self) -> int:
        """Time of its best checkpoint in nanoseconds, which distinguishes its networks; 0 before the first one."""
        best = self.folder / BEST
        return best.stat().st_mtime_ns if best.exists() else 0

    def predictor(self) -> Predictor:
        """Return its network, which is loaded by the first call, and again once the run has a better one.

        Raises:
            PipelineError: it has other classes than the patches and maps of the server.
            TrainError: no epoch of it has ended, or its checkpoint is damaged.
            OSError: a file cannot be read.
        """
        with self._lock:
            changed = self.version
            if changed not in self._loaded:
                found = load(self.folder, device=self.device)
                self._loaded.clear()
                self._loaded[changed] = found
            found = self._loaded[changed]
        self._check(found.nomenclature)
        return found

    def check_classes(self) -> None:
        """Check that it is a run on the 19 classes, by which patches and maps are shown.

        Raises:
            PipelineError: it is not.
            TrainError: a file is damaged.
        """
        self._check(self.nomenclature)

    def _check(self, nomenclature: Nomenclature) -> None:
        if nomenclature is not NINETEEN:
            raise PipelineError(
                f"run {self.name} is trained on {len(nomenclature)} classes, and patches are shown by "
                f"{len(NINETEEN)}: here are its curves and scores alone; bep report and bep explain show more"
            )

    def predicted(self, store: OpenStore) -> Predicted | None:
        """Return its predictions on patches of a store, as its files say them; None without any of the 19 classes.

        Raises:
            BadPredictions: a file is damaged.
        """
        paths = [self.folder / split_predictions(split) for split in SPLITS]
        times = tuple(path.stat().st_mtime_ns for path in paths if path.exists())
        return self._predicted.get((store.number, times), lambda: _read(paths, store, times))


def _read(paths: list[Path], store: OpenStore, version: tuple[int, ...]) -> Predicted | None:
    parts = []
    measured = np.ones(len(CLASSES), np.bool_)
    for path in paths:
        found = read_predictions(path)
        if found is not None and found.nomenclature is NINETEEN and (part := _of_store(found, store)) is not None:
            parts.append(part)
            measured &= [name not in found.ignored for name in CLASSES]
    if not parts:
        return None
    rows, probabilities, decided = (np.concatenate(each) for each in zip(*parts, strict=True))
    count = len(store.store)
    right, known = np.zeros(count, np.uint32), np.zeros(count, np.bool_)
    bits = np.uint32(1) << np.arange(len(CLASSES), dtype=np.uint32)
    right[rows] = ((decided == store.labels[rows].astype(np.bool_)) * bits).sum(1, dtype=np.uint32)
    known[rows] = True
    return Predicted(rows, probabilities, decided, right, known, measured, version)


def _of_store(
    found: Predictions, store: OpenStore
) -> tuple[NDArray[np.int64], NDArray[np.float16], NDArray[np.bool_]] | None:
    """Return rows, probabilities and decisions; None where the store lacks a patch: it is another one.

    Classes that the run was not trained for have the decision that their label says, so that they are no mistakes.
    """
    rows = store.rows_of(found.keys)
    ignored = np.array([name in found.ignored for name in CLASSES])
    if (rows < 0).any() or (store.labels[rows] != found.labels)[:, ~ignored].any():
        return None
    decided = decide(found.probabilities, thresholds_of(found))
    decided[:, ignored] = store.labels[rows][:, ignored]
    return rows, found.probabilities, decided


def thresholds(predictor: Predictor) -> dict[str, Any]:
    """Return the thresholds of a run, and whether they were tuned."""
    tuned = predictor.run.checkpoint.thresholds is not None
    return {"values": [predictor.thresholds[name] for name in CLASSES], "tuned": tuned, "default": THRESHOLD}
