"""A run on the 43 classes of BigEarthNet v1 among those that the server shows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bigearth_pipeline.serve.config import ServeConfig
from bigearth_pipeline.serve.contents.contents import open_contents
from shards.layout.classes import FORTY_THREE
from shards.testing.stores import make_store
from tests.bigearth_pipeline.serve.conftest import serving
from trainer.config.options import TrainConfig
from trainer.training.start import train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on 43 classes."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("classes43")
    store = make_store(folder / "store", {"train": 8, "validation": 8, "test": 8}, labels43=True)
    options: dict[str, Any] = {"classes": 43, "bands": ("B01", "B09"), "batch_size": 8, "max_steps": 1}
    train(TrainConfig.of(shards=store, out=folder / "run", device="cpu", test=True, **options))
    return folder / "run"


@pytest.mark.long
def test_the_page_shows_such_a_run_and_offers_it_for_no_patch(
    run: Path, runs_folder: Path, tmp_path: Path, look: Callable[..., Any]
) -> None:
    """The run can be chosen where only an error follows, or its page lacks classes."""
    with serving(run, runs_folder / "first", "--verdicts", tmp_path / "v.csv", "--device", "cpu") as (address, _):
        page = look("#/runs/0", base=address)
        page.wait_for_selector("#run section table")
        assert page.locator("section tbody tr").count() == 43
        assert page.inner_text("p.note >> nth=0").startswith("It is trained on 43 classes.")
        page = look("#/patch/s1/test_1", base=address)
        page.wait_for_selector("#scores tbody tr")
        assert page.get_by_label("Run", exact=True).locator("option").all_inner_texts() == ["first"]
        assert "run=1" in page.url
        for view, label in (("#/map?store=1", "Colour by run"), ("#/check?store=1", "Run")):
            page = look(view, base=address)
            choices = page.get_by_label(label, exact=True).locator("option")
            choices.last.wait_for(state="attached")
            assert "run" not in choices.all_inner_texts()
            assert "first" in choices.all_inner_texts()


def test_a_run_on_43_classes_has_a_page_and_no_patches(run: Path, tmp_path: Path) -> None:
    """Its scores stand at the names of the 19 classes, or the server fails."""
    from starlette.testclient import TestClient

    from bigearth_pipeline.serve.app import create_app

    config = ServeConfig(runs=(run,), verdicts=tmp_path / "verdicts.csv", device="cpu")
    with (
        open_contents(config, pytest.fail) as contents,
        TestClient(create_app(contents), base_url="http://127.0.0.1:8765") as client,
    ):
        assert [each["classes"] for each in client.get("/api/about").json()["runs"]] == [43]
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
