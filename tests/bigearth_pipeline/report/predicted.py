"""Predictions that are made, changed and read back without the code that reports on them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from shards import CLASSES
from trainer.runs.predictions import Predictions

FILE = "predictions-test.parquet"


@dataclass(frozen=True)
class Columns:
    """The columns of a file of predictions, by pyarrow: (N, 19) each, and the names of the patches."""

    keys: list[str]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]


def read_columns(path: Path) -> Columns:
    """Read a file of predictions."""
    table = pq.read_table(path)
    labels = np.array([[name in each for name in CLASSES] for each in table["labels"].to_pylist()], np.int64)
    probabilities = np.stack([table[name].to_numpy() for name in CLASSES], axis=1).astype(np.float64)
    return Columns(table["key"].to_pylist(), labels, probabilities)


def change_predictions(run: Path, change: Callable[[Predictions], Predictions], name: str = FILE) -> None:
    """Replace the predictions of a run by others."""
    changed = change(Predictions.read(run / name))
    changed.write(run / name, {})


def shuffled(found: Predictions, noise: float) -> Predictions:
    """Return predictions in another order whose logits have noise of that standard deviation."""
    rng = np.random.default_rng(5)
    order = rng.permutation(len(found.keys))
    values = np.clip(found.probabilities[order].astype(np.float64), 1e-4, 1 - 1e-4)
    logits = np.log(values / (1 - values)) + noise * rng.normal(size=values.shape)
    return replace(
        found,
        keys=[found.keys[i] for i in order],
        labels=found.labels[order],
        probabilities=(1 / (1 + np.exp(-logits))).astype(np.float16),
    )
