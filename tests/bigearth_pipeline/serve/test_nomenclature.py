"""A run on the 43 classes of BigEarthNet v1 among those that the server shows."""

from pathlib import Path
from typing import Any

import pytest
import torch

from bigearth_pipeline.serve.config import ServeConfig
from bigearth_pipeline.serve.contents.contents import open_contents
from shards.layout.classes import FORTY_THREE
from shards.testing.stores import make_store
from trainer.config.options import TrainConfig
from trainer.training.start import train


def test_a_run_on_43_classes_has_a_page_and_no_patches(tmp_path: Path) -> None:
    """Its scores stand at the names of the 19 classes, or the server fails."""
    from starlette.testclient import TestClient

    from bigearth_pipeline.serve.app import create_app

    torch.set_num_threads(1)
    store = make_store(tmp_path / "store", {"train": 8, "validation": 8, "test": 8}, labels43=True)
    options: dict[str, Any] = {"classes": 43, "bands": ("B01", "B09"), "batch_size": 8, "max_steps": 1}
    train(TrainConfig.of(shards=store, out=tmp_path / "run", device="cpu", test=True, **options))
    config = ServeConfig(runs=(tmp_path / "run",), verdicts=tmp_path / "verdicts.csv", device="cpu")
    with (
        open_contents(config, pytest.fail) as contents,
        TestClient(create_app(contents), base_url="http://127.0.0.1:8765") as client,
    ):
        found = client.get("/api/runs/0").json()
        assert list(found["results"]["test"]["classes"]) == list(FORTY_THREE.names)
        patch = "/api/patches/s0/test_0"
        refused = [
            client.get(f"{patch}/scores", params={"run": 0}),
            client.get(f"{patch}/explanation", params={"run": 0, "label": 1, "method": "grad-cam"}),
            client.get("/api/check/pairs", params={"store": 0, "run": 0}),
        ]
        for answer in refused:
            assert (answer.status_code, "run is trained on 43 classes" in answer.text) == (409, True), answer.text
        assert client.get("/api/stores/0/tiles/4/8/5.mvt", params={"run": 0}).status_code == 200
