"""Results of an evaluation: one schema, one writer, and a file for each selection of patches.

| key | what it holds |
|---|---|
| `split`, `where`, `fraction`, `patches`, `patches_sha256` | how the patches were chosen; None for no condition |
| `shards`, `manifest_sha256`, `source_version` | the store that they are from |
| `rows_sha256` | SHA-256 of that manifest's SHA-256 and of the rows of its index: the selection itself |
| `epoch`, `trained_on` | of the checkpoint; None for the weights of others |
| `averaged` | runs and test-time augmentation that probabilities are averaged over; None for neither |
| `checkpoint` | name of its file; None for the best of a run |
| `weights` | what the weights of others were loaded from, and onto which bands; None for a run |
| `count`, `loss`, `ap_macro`, … | `trainer.metrics.metrics.Metrics` |
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shards import Store
from shards.metadata.place import check_outside_stores
from shards.storage.safe_open import open_regular_file, read_regular
from trainer.data.subset.rows import Subset, select
from trainer.errors import TrainError
from trainer.metrics.metrics import Metrics
from trainer.runs import folder as run_folder
from trainer.runs import predictions as prediction_file
from trainer.runs.predictions import Predictions

_RESULT_BYTES = 1 << 24


class NotWritten(TrainError):
    """Results were computed, and cannot be written to their file.

    Attributes:
        evaluation: the results.
    """

    def __init__(self, message: str, evaluation: "Evaluation") -> None:
        """Keep the results, which would be lost."""
        super().__init__(f"{message}; the results are in no file")
        self.evaluation = evaluation


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Patches that a result is about.

    Attributes:
        store: their store.
        manifest_sha256: SHA-256 of its manifest.
        split: name of the split.
        rows: of the index, ascending.
        subset: how they were chosen within the split.
    """

    store: Store
    manifest_sha256: str
    split: str
    rows: NDArray[np.int64]
    subset: Subset

    @classmethod
    def of(cls, store: Store, split: str, subset: Subset, seed: int = 0) -> "Selection":
        """Select the patches of a split.

        Raises:
            EmptySubset: there are none.
            BadPatchList: the list cannot be read, or names patches that the store lacks.
        """
        rows = select(subset, store.index, seed, needed=(split,))[split]
        return cls(store=store, manifest_sha256=store.manifest_sha256(), split=split, rows=rows, subset=subset)

    def keys(self) -> list[str]:
        """Return the names of the patches, in the order of `rows`."""
        names: list[str] = self.store.index.table["key"].take(pa.array(self.rows)).to_pylist()
        return names

    @property
    def rows_sha256(self) -> str:
        """SHA-256 that two selections share only if they hold the same patches of the same store."""
        return hashlib.sha256(self.manifest_sha256.encode() + self.rows.astype("<i8").tobytes()).hexdigest()

    def is_same(self, other: "Selection") -> bool:
        """True if two selections hold the same patches of the same store."""
        return self.split == other.split and self.rows_sha256 == other.rows_sha256

    def to_json(self) -> dict[str, Any]:
        """Return what a result says of its patches."""
        patches = self.subset.patches
        listed = None
        if patches is not None:
            with open_regular_file(patches) as file:
                listed = hashlib.sha256(file.read()).hexdigest()
        return {
            "split": self.split,
            "where": self.subset.where,
            "fraction": self.subset.fraction if self.split == "train" else None,
            "patches": patches and str(patches),
            "patches_sha256": listed,
            "shards": str(self.store.folder),
            "manifest_sha256": self.manifest_sha256,
            "source_version": self.store.manifest.source_version,
            "rows_sha256": self.rows_sha256,
        }


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Result of an evaluation.

    Attributes:
        metrics: of the patches.
        about: what was evaluated on what, as JSON values.
    """

    metrics: Metrics
    about: dict[str, Any]

    @classmethod
    def of(
        cls,
        metrics: Metrics,
        selection: Selection,
        *,
        epoch: int | None,
        trained_on: str | None,
        weights: dict[str, Any] | None = None,
        averaged: dict[str, Any] | None = None,
        checkpoint: str | None = None,
    ) -> "Evaluation":
        """Return metrics with what they are of."""
        model = {"epoch": epoch, "trained_on": trained_on, "weights": weights, "averaged": averaged}
        model["checkpoint"] = checkpoint
        return cls(metrics, selection.to_json() | model)

    @property
    def digest(self) -> str:
        """SHA-256 of the patches, of what probabilities are averaged over, and of a checkpoint that is not the best.

        It names files of results.
        """
        rows, averaged, checkpoint = (self.about[name] for name in ("rows_sha256", "averaged", "checkpoint"))
        found = [rows, *(json.dumps(part) for part in (averaged, checkpoint) if part is not None)]
        return rows if len(found) == 1 else hashlib.sha256(" ".join(found).encode()).hexdigest()

    @property
    def epoch(self) -> int | None:
        """Epoch, from 1, of the checkpoint; None for weights that are of no run."""
        return self.about["epoch"]

    def to_json(self) -> dict[str, Any]:
        """Return what a file of results holds."""
        return self.about | self.metrics.to_json()


def write(folder: Path, evaluation: Evaluation, predictions: Predictions, *, own: bool) -> Path:
    """Write results and their predictions into the folder of a run and return the path of the results.

    It is `metrics-SPLIT.json` for the patches that the run itself had of the split, and `metrics-SPLIT-DIGEST.json` for
    any other selection and for averages, with the first 12 digits of `Evaluation.digest`; predictions are in
    `predictions-SPLIT.parquet` or `predictions-SPLIT-DIGEST.parquet` beside it. A file of another selection is never
    replaced, be it of an earlier version, whose results do not say which patches they are of.

    Args:
        folder: of the run.
        evaluation: the results.
        predictions: what they follow from.
        own: whether these are the patches that the run had of the split.

    Raises:
        NotWritten: the file cannot be written.
    """
    split, digest = evaluation.about["split"], evaluation.digest
    path, beside = folder / run_folder.split_metrics(split), folder / run_folder.split_predictions(split)
    if not own or not _may_replace(path, beside, digest):
        path = folder / run_folder.split_metrics(split, digest[:12])
        beside = folder / run_folder.split_predictions(split, digest[:12])
    _write(path, beside, evaluation, predictions)
    return path


def write_new(path: Path, evaluation: Evaluation, predictions: Predictions) -> None:
    """Write results to a file that does not exist yet, and their predictions to `predictions_beside` of it.

    Raises:
        NotWritten: one of them exists, or cannot be written.
    """
    try:
        check_new(path)
    except TrainError as err:
        raise NotWritten(str(err), evaluation) from err
    _write(path, predictions_beside(path), evaluation, predictions)


def predictions_beside(path: Path) -> Path:
    """Return the file of the predictions that results in a file of the user's choice follow from."""
    return path.with_suffix(".predictions.parquet")


def check_new(path: Path) -> None:
    """Check that results may be written to a file, before they are computed.

    Raises:
        TrainError: it exists, or its folder does not.
        InvalidValue: it would lie in a store.
    """
    check_outside_stores(path)
    for file in (path, predictions_beside(path)):
        if file.exists() or file.is_symlink():
            raise TrainError(f"{file} exists already; name a new file for the results")
    if not path.parent.is_dir():
        raise TrainError(f"{path} cannot be written: there is no folder {path.parent}")


def _write(path: Path, beside: Path, evaluation: Evaluation, predictions: Predictions) -> None:
    file = beside
    try:
        predictions.write(beside, evaluation.about)
        file = path
        run_folder.write_json(path, evaluation.to_json())
    except OSError as err:
        which = "" if file == path else f"{beside.name}, which is written before it: "
        raise NotWritten(f"{path} cannot be written: {which}{err.strerror or err}", evaluation) from err


def _may_replace(path: Path, beside: Path, rows_sha256: str) -> bool:
    """True if the files of results and predictions are absent or of the same selection."""
    found = [prediction_file.about(beside)]
    try:
        result = json.loads(read_regular(path, _RESULT_BYTES))
        found.append(result if isinstance(result, dict) else {})
    except FileNotFoundError:
        pass
    except (ValueError, OSError, RecursionError):
        return False
    return all(about is None or about.get("rows_sha256") == rows_sha256 for about in found)
