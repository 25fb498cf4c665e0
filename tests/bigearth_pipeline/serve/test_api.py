"""The API: what it says is what store and runs hold."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bigearth_pipeline.pictures.compose import Stretch, colours, composition_of
from bigearth_pipeline.serve.contents.contents import Contents
from bigearth_pipeline.serve.contents.stopping import Busy, Stopping
from bigearth_pipeline.serve.patch.explanations import Explanations
from bigearth_pipeline.serve.upload.kept import Upload, UploadedPatch
from bigearth_pipeline.show.rows import stretch_of
from shards import BANDS
from trainer.inference import load
from trainer.runs.predictions import Predictions


def pixels(content: bytes) -> np.ndarray:
    """Return the pixels of a PNG."""
    return np.asarray(Image.open(BytesIO(content)))


def test_about_tells_what_there_is(client: Any, contents: Contents) -> None:
    """The page lacks a store, a run or a split."""
    about = client.get("/api/about").json()
    assert [store["patches"] for store in about["stores"]] == [88]
    assert about["stores"][0]["splits"] == {"train": 32, "validation": 16, "test": 40}
    assert about["stores"][0]["countries"] == ["Ireland", "Serbia"]
    assert about["stores"][0]["months"] == [1, 6, 12]
    assert [run["name"] for run in about["runs"]] == ["first", "second"]
    first, second = client.get("/api/runs").json()
    assert (first["state"], first["scored_on"]) == ("finished", second["scored_on"])
    assert first["scored_words"].startswith("16 validation and 40 test patches of ")


def test_facts_of_a_patch_are_those_of_the_index(client: Any, contents: Contents) -> None:
    """A patch is shown with facts, labels or neighbours of another one."""
    index = contents.stores[0].store.index
    for row in (0, 40, 87):
        facts = index.facts(row)
        found = client.get(f"/api/patches/s0/{facts['key']}").json()
        assert (found["split"], found["country"], found["date"]) == (
            facts["split"], facts["country"], facts["date"].isoformat(),
        )  # fmt: skip
        assert found["labels"] == index.labels()[row].tolist()
        assert client.get(f"/api/stores/0/rows/{row}").json()["key"] == facts["key"]
        for each in found["neighbours"]:
            other = index.facts(contents.stores[0].row_of(each["key"]))
            assert other["ulx"] - facts["ulx"] == 1200 * each["east"]
            assert facts["uly"] - other["uly"] == 1200 * each["south"]
        assert len(found["neighbours"]) >= 5


def test_browsers_keep_only_what_stays_the_same(client: Any, contents: Contents) -> None:
    """A browser has the map of an earlier network for an hour, or pictures of an upload on its disk."""
    record = contents.stores[0].store.read(5).s2
    patch = UploadedPatch(key="0", record=record, missing=0.0, place=None)
    upload = contents.uploads.keep(Upload(title="x", columns=None, patches=(patch,), notes=(), bands=BANDS))
    tile = "/api/stores/0/tiles/0/0/0.mvt"
    asked = "explanation.webp?run=0&label=2&method=grad-cam"
    for path, is_kept in (
        ("/api/patches/s0/test_1/picture.webp", True),
        ("/api/patches/s0/test_1/around.webp", True),
        (tile, True),
        (f"{tile}?run=0", False),
        (f"/api/patches/s0/test_1/{asked}", False),
        ("/api/patches/s0/test_1/scores?run=0", False),
        (f"/api/patches/{upload}/0/picture.webp", False),
        (f"/api/patches/{upload}/0/{asked}", False),
        (f"/api/uploads/{upload}/scores?run=0", False),
    ):
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["cache-control"] == ("private, max-age=3600" if is_kept else "no-store"), path


def test_pictures_are_those_of_the_record(client: Any, contents: Contents) -> None:
    """A picture has other bands, another stretch, or is of another patch."""
    store = contents.stores[0].store
    patch = store.read(5)
    base = f"/api/patches/s0/{patch.key}/picture.webp"
    expected = colours(patch.s2, composition_of("B12,B8A,B04"), stretch_of(store))
    np.testing.assert_array_equal(pixels(client.get(base, params={"bands": "B12,B8A,B04"}).content), expected)
    stretch = Stretch(dict.fromkeys(stretch_of(store).limits, (100.0, 3000.0)), 1.0)
    found = client.get(base, params={"low": 100, "high": 3000, "gamma": 1}).content
    np.testing.assert_array_equal(pixels(found), colours(patch.s2, composition_of("B04,B03,B02"), stretch))
    assert client.get(base, params={"bands": "B04,B03"}).status_code == 422
    assert client.get(base, params={"gamma": "nan"}).status_code == 422


def test_patches_around_a_patch_lie_where_they_are(client: Any, contents: Contents) -> None:
    """The picture of what lies around has a patch at another place, or a gap where there is one."""
    store = contents.stores[0]
    side = 60
    for row in (0, 41, 87):
        key = store.store.index.key(row)
        found = pixels(client.get(f"/api/patches/s0/{key}/around.webp").content)
        assert found.shape == (3 * side, 3 * side, 3)
        expected = np.zeros((3 * side, 3 * side, 3))
        around = client.get(f"/api/patches/s0/{key}").json()["neighbours"]
        for each in [*reversed(around), {"key": key, "east": 0, "south": 0}]:
            patch = store.store.read(store.row_of(each["key"]))
            picture = colours(patch.s2, composition_of("B04,B03,B02"), store.stretch).reshape(side, 2, side, 2, 3)
            top, left = side * (1 + each["south"]), side * (1 + each["east"])
            expected[top : top + side, left : left + side] = picture.mean((1, 3))
        assert np.abs(found - expected).max() <= 0.5
    assert client.get("/api/patches/s0/absent/around.webp").status_code == 404


def test_scores_are_those_of_the_network(client: Any, contents: Contents, runs_folder: Path) -> None:
    """Probabilities or thresholds are of another run, class or patch."""
    patch = contents.stores[0].store.read(50)
    predictor = load(runs_folder / "first", device="cpu")
    found = client.get(f"/api/patches/s0/{patch.key}/scores", params={"run": 0}).json()
    np.testing.assert_allclose(found["probabilities"], predictor.probabilities(patch.s2[None])[0], atol=2e-6)
    assert found["thresholds"]["values"] == list(predictor.thresholds.values())


@pytest.mark.parametrize("method", ["grad-cam", "integrated-gradients", "band-occlusion"])
def test_explanations_have_a_map_or_weights(client: Any, contents: Contents, method: str) -> None:
    """A method fails in the server, or shows nothing."""
    key = contents.stores[0].store.index.key(3)
    query = {"run": 0, "label": 2, "method": method}
    found = client.get(f"/api/patches/s0/{key}/explanation", params=query).json()
    assert found["has_map"] is (method != "band-occlusion")
    assert (found["bands"] is None) is (method == "grad-cam")
    picture = client.get(f"/api/patches/s0/{key}/explanation.webp", params=query)
    assert picture.status_code == (200 if found["has_map"] else 404)
    if found["has_map"]:
        plain = pixels(client.get(f"/api/patches/s0/{key}/picture.webp").content)
        assert pixels(picture.content).shape == plain.shape


def test_filters_choose_the_patches_that_meet_them(client: Any, contents: Contents, runs_folder: Path) -> None:
    """A filter lets others through, or the outcome is not that of the predictions."""
    store = contents.stores[0]
    index = store.store.index

    def count(**query: Any) -> int:
        return int(client.get("/api/stores/0/patches", params=query).json()["count"])

    assert count() == 88
    assert count(split="test") == 40
    assert count(country="Serbia") == sum(name == "Serbia" for name in index.table["country"].to_pylist())
    assert count(month=12) == sum(date.month == 12 for date in index.table["date"].to_pylist())
    assert count(label=3) == index.labels()[:, 3].sum()
    found = Predictions.read(runs_folder / "first" / "predictions-test.parquet")
    limits = np.array(list(found.about["thresholds"].values()))
    right = (found.probabilities.astype(np.float64) >= limits) == found.labels.astype(bool)
    assert count(split="test", run=0, outcome="right") == right.all(1).sum()
    assert count(split="test", run=0, outcome="wrong") == (~right.all(1)).sum()
    assert count(split="test", run=0, outcome="wrong", label=2) == (~right[:, 2] & (found.labels[:, 2] == 1)).sum()
    assert count(split="train", run=0, outcome="right") == 0
    assert client.get("/api/stores/0/patches", params={"outcome": "right"}).status_code == 422
    assert count(west=0, east=1, south=0, north=1) == 0


@pytest.mark.parametrize(
    "path",
    ["/api/patches/s1/test_1", "/api/patches/s0/absent", "/api/patches/u00/0", "/api/stores/7/patches", "/api/runs/9",
     "/api/stores/0/rows/88", "/api/scenes/0/tiles/0/0/0.png", "/api/patches/s0/test_1/scores?run=5"],
)  # fmt: skip
def test_what_is_not_there_is_one_line(client: Any, path: str) -> None:
    """A wrong number or name is an error of the server."""
    answer = client.get(path)
    assert answer.status_code == 404
    assert "\n" not in answer.json()["detail"]


def test_runs_have_epochs_and_results(client: Any) -> None:
    """Curves and scores of a run are absent."""
    found = client.get("/api/runs/0").json()
    assert [epoch["epoch"] for epoch in found["epochs"]] == [1]
    assert set(found["results"]) == {"validation", "test"}
    assert len(found["results"]["test"]["classes"]) == 19


def test_explanations_that_wait_end_with_the_server(contents: Contents) -> None:
    """Ctrl-C waits for the explanations of clients that have long gone."""
    explanations = Explanations(contents, Stopping(now=True))
    with pytest.raises(Busy, match="the server ends"):
        explanations.of(0, "s0", "test_1", 3, "integrated-gradients")
