"""Probabilities of a patch: which of them say something."""

from pathlib import Path

import pytest

from bigearth_pipeline.serve.app import create_app
from bigearth_pipeline.serve.config import ServeConfig
from bigearth_pipeline.serve.contents.contents import open_contents
from shards import CLASSES


@pytest.mark.long
def test_classes_that_a_run_was_not_trained_for_are_told(runs_folder: Path, tmp_path: Path) -> None:
    """A patch counts as wrongly predicted by a class that the network has never seen."""
    from starlette.testclient import TestClient

    from trainer.config.options import TrainConfig
    from trainer.training.start import train

    ignored = CLASSES[2]
    store = runs_folder.parent / "store"
    train(TrainConfig.of(shards=store, out=tmp_path / "run", epochs=1, batch_size=8, ignore_labels=(ignored,)))
    config = ServeConfig(runs=(tmp_path / "run",), verdicts=tmp_path / "v.csv", device="cpu")
    with open_contents(config, pytest.fail) as contents:
        client = TestClient(create_app(contents), base_url="http://127.0.0.1:8765")
        found = client.get("/api/patches/s0/test_1/scores", params={"run": 0}).json()
    assert found["trained"] == [name != ignored for name in CLASSES]
    assert found["probabilities"][2] == 0
