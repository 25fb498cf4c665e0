"""Predictions of a split as a Parquet file: `predictions-<split>.parquet` beside the results that follow from them.

| column | type | what it holds |
|---|---|---|
| `key` | string | name of the patch |
| `labels` | list of string | names of its classes, in their order, without those that the run ignores |
| one per class, by its name | float16 | probability of the class, 0 to 1 |

Rows are in the order of the index. The metadata of the file's schema holds, under `bep`, what results say of their
patches and weights (`trainer.runs.results`), the thresholds by class, and `ignored_labels`, the classes that the run
was not trained for, as JSON. Their probability is 0 and they are nobody's label, so that scores see them as absent.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from torch import Tensor

from shards.layout.classes import NINETEEN, NOMENCLATURES, Nomenclature
from shards.storage.atomic import atomic_write
from shards.storage.safe_open import open_regular_file, read_regular
from trainer.errors import TrainError

METADATA: Final = b"bep"
_MAX_BYTES: Final = 1 << 30


def schema_of(nomenclature: Nomenclature) -> pa.Schema:
    """Return the columns of predictions of the classes of a nomenclature."""
    return pa.schema(
        [
            pa.field("key", pa.string(), nullable=False),
            pa.field("labels", pa.list_(pa.string()), nullable=False),
            *(pa.field(name, pa.float16(), nullable=False) for name in nomenclature.names),
        ]
    )


SCHEMA: Final = schema_of(NINETEEN)
"""Columns of predictions of the 19 classes."""


class BadPredictions(TrainError):
    """A file does not hold the predictions of a run."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Predictions:
    """Labels and probabilities of the patches of a selection.

    Attributes:
        keys: names of the N patches.
        labels: (N, C) uint8, 1 where a patch has the class.
        probabilities: (N, C) float16.
        about: what was evaluated on what, see `trainer.runs.results`; `thresholds` by class name, or None;
            `ignored_labels` if there are some.
        nomenclature: the C classes.
    """

    keys: list[str]
    labels: NDArray[np.uint8]
    probabilities: NDArray[np.float16]
    about: dict[str, Any]
    nomenclature: Nomenclature = NINETEEN

    @property
    def ignored(self) -> tuple[str, ...]:
        """Names of the classes that the model is not trained for, in their order."""
        found = self.about.get("ignored_labels")
        return tuple(name for name in self.nomenclature.names if isinstance(found, list) and name in found)

    @classmethod
    def of(
        cls,
        keys: list[str],
        logits: Tensor,
        labels: Tensor,
        thresholds: dict[str, float] | None = None,
        ignored: Collection[str] = (),
        nomenclature: Nomenclature = NINETEEN,
    ) -> "Predictions":
        """Return the predictions that logits make.

        Args:
            keys: names of the N patches.
            logits: (N, C) float32, on any device.
            labels: (N, C) of 0 and 1.
            thresholds: of the model, by class name.
            ignored: names of classes that the model is not trained for.
            nomenclature: the C classes.
        """
        known = labels.to("cpu").numpy().astype(np.uint8)
        known[:, [name in ignored for name in nomenclature.names]] = 0
        return cls(
            keys=keys,
            labels=known,
            probabilities=logits.float().sigmoid().to("cpu").numpy().astype(np.float16),
            about={"thresholds": thresholds} | ({"ignored_labels": list(ignored)} if ignored else {}),
            nomenclature=nomenclature,
        )

    def write(self, path: Path, about: dict[str, Any]) -> None:
        """Write a file whole or not at all, with what results say of the patches.

        Raises:
            OSError: it cannot be written.
        """
        columns = [
            pa.array(self.keys, pa.string()),
            _label_lists(self.labels, self.nomenclature),
            *(pa.array(np.ascontiguousarray(column)) for column in self.probabilities.T),
        ]
        metadata = {METADATA: json.dumps(self.about | about, ensure_ascii=False, allow_nan=False).encode()}
        table = pa.Table.from_arrays(columns, schema=schema_of(self.nomenclature).with_metadata(metadata))
        with atomic_write(path) as file:
            pq.write_table(table, file, compression="zstd", row_group_size=1 << 16)

    @classmethod
    def read(cls, path: Path) -> "Predictions":
        """Read a file.

        Raises:
            BadPredictions: it is absent, cannot be read, or holds something else.
        """
        try:
            content = read_regular(path, _MAX_BYTES)
            file = pq.ParquetFile(pa.BufferReader(content))
            # Asked before anything is read: equal rows take next to no bytes, and memory all the same.
            if file.metadata.num_rows > len(content):
                rows = f"{file.metadata.num_rows:,} rows in {len(content):,} bytes"
                raise BadPredictions(f"{path} says that it has {rows}, expected one row a patch")
            table = file.read(use_threads=False)
        except (OSError, pa.ArrowException) as err:
            raise BadPredictions(f"{path} cannot be read: {_reason(err)}; evaluate the run again to write it") from err
        plain = table.schema.remove_metadata()
        nomenclature = next((each for each in NOMENCLATURES.values() if plain == schema_of(each)), None)
        if nomenclature is None or any(column.null_count for column in table.columns):
            raise BadPredictions(f"{path} does not have the columns of predictions: key, labels, a float16 a class")
        probabilities = np.stack([table[name].to_numpy() for name in nomenclature.names], axis=1)
        if not ((probabilities >= 0) & (probabilities <= 1)).all():
            raise BadPredictions(f"{path} holds probabilities outside of 0 to 1")
        try:
            about = json.loads((table.schema.metadata or {})[METADATA])
            labels = _multi_hot(table["labels"].combine_chunks(), nomenclature)
        except (KeyError, ValueError, RecursionError) as err:
            raise BadPredictions(f"{path} does not say what it is of: {_reason(err)}") from err
        if not isinstance(about, dict):
            raise BadPredictions(f"{path} does not say what it is of: expected an object")
        return cls(
            keys=table["key"].to_pylist(),
            labels=labels,
            probabilities=probabilities,
            about=about,
            nomenclature=nomenclature,
        )


def about(path: Path) -> dict[str, Any] | None:
    """Return what a file says of its patches; None if it is absent, and nothing if it is no such file."""
    try:
        with open_regular_file(path) as file:
            found = json.loads((pq.read_schema(file).metadata or {})[METADATA])
    except FileNotFoundError:
        return None
    except (OSError, pa.ArrowException, KeyError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _label_lists(labels: NDArray[np.uint8], nomenclature: Nomenclature) -> pa.ListArray:
    offsets = np.concatenate([[0], labels.sum(1, dtype=np.int32).cumsum()]).astype(np.int32)
    names = pa.array(nomenclature.names).take(pa.array(labels.nonzero()[1]))
    return pa.ListArray.from_arrays(pa.array(offsets), names)


def _multi_hot(lists: pa.ListArray, nomenclature: Nomenclature) -> NDArray[np.uint8]:
    names = lists.flatten().to_pylist()
    number_of = {name: number for number, name in enumerate(nomenclature.names)}
    labels = np.zeros((len(lists), len(nomenclature)), np.uint8)
    rows = np.repeat(np.arange(len(lists)), lists.value_lengths().to_numpy(zero_copy_only=False))
    labels[rows, [number_of[name] for name in names]] = 1
    return labels


def _reason(err: Exception) -> str:
    if isinstance(err, OSError) and err.strerror:
        return err.strerror
    return (str(err).splitlines() or [type(err).__name__])[0]
