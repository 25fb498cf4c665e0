"""Values as programs give them: texts for paths, and names and numbers that do not exist."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import shards
from shards.errors import InvalidValue
from shards.storage.remote.address import Address
from trainer import PatchDataset, Subset, select
from trainer.config.options import TrainConfig
from trainer.definition.data import DataConfig
from trainer.evaluation.run import EvaluationConfig
from trainer.evaluation.weights import WeightsEvaluationConfig
from trainer.export.export import ExportConfig
from trainer.inference import load


def test_texts_are_paths() -> None:
    """A text is refused, or kept as one, on which the first method of a path fails an hour later."""
    config = TrainConfig.of(shards="store", out="runs/first", patches="a.txt", weights="w.pt", statistics="s.json")
    assert config == TrainConfig.of(
        shards=Path("store"),
        out=Path("runs/first"),
        patches=Path("a.txt"),
        weights=Path("w.pt"),
        statistics=Path("s.json"),
    )
    assert all(isinstance(path, Path) for path in (config.data.shards, config.run.out, config.data.patches))
    assert TrainConfig.from_json(config.to_json()) == config
    assert isinstance(DataConfig(shards="s3://bucket/store").shards, Address)  # type: ignore[arg-type]
    evaluation = EvaluationConfig(run="run", shards="s3://bucket/store", ensemble=("b", Path("c")))  # type: ignore[arg-type]
    assert evaluation == EvaluationConfig(run=Path("run"), shards=evaluation.shards, ensemble=(Path("b"), Path("c")))
    assert isinstance(evaluation.shards, Address)
    assert WeightsEvaluationConfig(weights="w.pt", shards="store").weights == Path("w.pt")  # type: ignore[arg-type]
    assert ExportConfig(run="run", out="net").out == Path("net")  # type: ignore[arg-type]
    assert Subset(patches="a.txt").patches == Path("a.txt")  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "a\0b", "\udc80", "s3://bucket/store?secret"])
def test_texts_that_are_no_paths_are_refused(text: str) -> None:
    """The folder of the store is the working folder, or a secret is in a file of the run."""
    with pytest.raises(InvalidValue) as caught:
        TrainConfig.of(shards=text, out="run")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"split": "tran"}, "there is no split 'tran', expected one of train, validation, test"),
        ({"device": "gpu"}, "device is 'gpu', expected one of auto, cpu, cuda"),
        ({"tta": "d8"}, "tta is 'd8', expected one of none, d4"),
        ({"verify": "often"}, "verify is 'often', expected one of first, always, never"),
        ({"batch_size": 0}, "batch_size is 0, expected an integer of at least 1"),
        ({"threads": 0}, "threads is 0, expected an integer of at least 1"),
        ({"threads": "2"}, "threads is '2', expected an integer"),
        ({"out": 1}, "out is 1, expected a path"),
    ],
)
@pytest.mark.parametrize("of_weights", [False, True])
def test_values_of_evaluations_are_checked(values: dict[str, Any], message: str, of_weights: bool) -> None:
    """A name that is none ends in an error about an empty split, or is taken for the default."""
    with pytest.raises(InvalidValue, match=message):
        WeightsEvaluationConfig(weights=Path("w"), shards=Path("s"), **values) if of_weights else EvaluationConfig(
            run=Path("run"), **values
        )


def wrong(store: shards.Store) -> dict[str, tuple[Callable[[], object], str]]:
    """Return calls with a name or number that does not exist, and what is said of each."""
    index, rows = store.index, np.array([0, len(store)])
    splits = "there is no split 'tran', expected one of train, validation, test"
    return {
        "rows": (lambda: index.rows("tran"), splits),
        "column": (lambda: index.column("tags"), "the index has no column 'tags'; there are key, split, "),
        "codes": (lambda: index.codes("nation"), "the index has no column 'nation'; there are key, split, "),
        "needed": (lambda: select(Subset(), index, 0, needed=("tran",)), splits),
        "train_splits": (lambda: Subset(train_splits=("tran",)), splits),
        "layout": (lambda: PatchDataset(store, [0], layout="x"), "layout is 'x', expected one of stacked, native"),  # type: ignore[arg-type]
        "dataset": (lambda: PatchDataset(store, rows), rf"rows are from 0 to {len(store)}, expected 0 to"),
        "threads": (lambda: shards.open(store.folder, num_threads=0), "num_threads is 0, expected at least 1"),
        "tta": (lambda: load("run", tta="d8"), "tta is 'd8', expected one of none, d4"),  # type: ignore[arg-type]
        "device": (lambda: load("run", device="gpu"), "device is 'gpu', expected one of"),  # type: ignore[arg-type]
        "batch_size": (lambda: load("run", batch_size=0), "batch_size is 0, expected an integer of at least 1"),
        "formats": (lambda: ExportConfig(run=Path("r"), out=Path("o"), formats=("onx",)), "a list of onnx, pt2"),  # type: ignore[arg-type]
    }  # fmt: skip


def test_names_that_there_are_not_are_named(store: shards.Store) -> None:
    """A typing error gives no patches, in silence."""
    for call, message in wrong(store).values():
        with pytest.raises(InvalidValue, match=message):
            call()
