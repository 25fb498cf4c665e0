"""Classes that a run was not trained for: neither right nor wrong on the map, and no pair to check."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from bigearth_pipeline.serve.check.disagreement import disagreements
from bigearth_pipeline.serve.config import ServeConfig
from bigearth_pipeline.serve.contents.contents import open_contents
from bigearth_pipeline.serve.map.tiles import UNKNOWN
from shards import CLASSES
from trainer.runs.folder import split_predictions
from trainer.runs.predictions import Predictions


def test_ignored_classes_are_no_outcome(runs_folder: Path, tmp_path: Path) -> None:
    """A patch is right or wrong by a class that nobody has predicted, or the class is offered for checking."""
    run = tmp_path / "run"
    shutil.copytree(runs_folder / "first", run)
    (run / split_predictions("validation")).unlink()
    file = run / split_predictions("test")
    config = ServeConfig(
        runs=(run,), stores=(runs_folder.parent / "store",), verdicts=tmp_path / "verdicts.csv", device="cpu"
    )
    with open_contents(config, pytest.fail) as contents:
        store = contents.stores[0]
        rows = store.store.index.rows("test")
        labels = torch.from_numpy(store.labels[rows].astype(np.float32))
        keys = [store.store[int(row)].key for row in rows]
        number = int(labels.sum(0).argmax())
        ignored = CLASSES[number]
        assert labels[:, number].sum() > 0
        # All is decided as labelled but the class that is ignored, of which nothing is.
        logits = 8 * (labels - 0.5)
        logits[:, number] = -8
        Predictions.of(keys, logits, labels, None, (ignored,)).write(file, {"split": "test"})
        predicted = contents.runs[0].predicted(store)
        assert predicted is not None
        by_class = predicted.outcome(number)
        assert set(by_class.tolist()) == {UNKNOWN}
        assert set(predicted.outcome(None)[rows].tolist()) == {1}
        assert set(predicted.outcome((number + 1) % len(CLASSES))[rows].tolist()) == {1}
        assert len(disagreements(store, predicted, None).rows) == 0
