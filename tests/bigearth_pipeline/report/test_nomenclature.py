"""Pages, maps and explanations of a run on the 43 classes of BigEarthNet v1."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import shards
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.pictures.class_colours import COLOURS, colours_of
from bigearth_pipeline.progress import Silent
from bigearth_pipeline.report.explain.config import ExplainConfig
from bigearth_pipeline.report.explain.reference import NONE, classes_of
from bigearth_pipeline.report.explain.work import explain
from bigearth_pipeline.report.run.report import run_report
from bigearth_pipeline.report.runs.plot import plot_runs
from bigearth_pipeline.report.runs.report import runs_report
from shards.errors import InvalidValue
from shards.layout.classes import CLASSES, FORTY_THREE
from shards.testing.stores import make_store
from tests.bigearth_pipeline.cli.calls import invoke
from trainer.config.options import TrainConfig
from trainer.training.start import train

NAMES = FORTY_THREE.names
SMALL = {"model": "bepnet-s", "bands": ("B01", "B09"), "batch_size": 8, "max_steps": 2, "device": "cpu", "test": True}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Runs on 43 and on 19 classes of the same store, which lies beside them."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("v1")
    store = make_store(folder / "store", {"train": 16, "validation": 8, "test": 8}, source_version="v1", labels43=True)
    train(TrainConfig.of(shards=store, out=folder / "of-43", classes=43, **SMALL))
    train(TrainConfig.of(shards=store, out=folder / "of-19", **SMALL))
    return folder / "of-43", folder / "of-19"


@pytest.mark.long
def test_a_page_names_the_classes_of_the_run(runs: tuple[Path, Path]) -> None:
    """Scores stand beside the names of other classes, or the page cannot be made."""
    text = run_report(runs[0], samples=0).decode()
    for name in ("Road and rail networks and associated land", "Salines", "Rice fields"):
        assert name in text
    assert "Coastal wetlands" not in text
    assert "of 43 classes that occur" in text


def test_runs_of_other_classes_are_not_compared(runs: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A difference of scores is shown of runs that were given different tasks."""
    text = runs_report(list(runs)).decode()
    assert "trained on 19 classes, and the first run on 43" in text
    with pytest.raises(PipelineError, match=r"trained on 19 and on 43 classes, whose scores cannot stand side by side"):
        plot_runs(list(runs), "png")
    assert plot_runs([runs[0]], "png")
    monkeypatch.setenv("COLUMNS", "80")
    told = " ".join(invoke("runs", runs[0].parent).stdout.split())
    places = [told.index(words) for words in ("; 19 classes", " of-19 ", "; 43 classes", " of-43 ")]
    assert places == sorted(places)


def test_explanations_are_of_the_classes_of_the_run(runs: tuple[Path, Path], tmp_path: Path) -> None:
    """A class is explained that has another name, or one that the run has cannot be named."""
    config = ExplainConfig(
        run=runs[0], out=tmp_path / "out", classes=("salines", "rice"), random=2, methods=("grad-cam", "permutation"),
        patches=4, sanity=False,
    )  # fmt: skip
    found = explain(config, Silent())
    assert {found.explained.classes[label] for _, label in found.explained.pairs} == {"Salines", "Rice fields"}
    facts = json.loads((tmp_path / "out" / "explanations.json").read_text())
    assert list(facts["permutation"]["average_precision"]) == list(NAMES)
    with shards.open(runs[0].parent / "store") as store:
        names = {patch.key: patch.names43 for patch in (store.read(row, groups=()) for row in range(len(store)))}
    for patch in found.explained.patches:
        assert {"Salines", "Rice fields"} & set(names[patch.key] or ())
    with pytest.raises(InvalidValue, match="no class 'inland waters'"):
        explain(ExplainConfig(run=runs[0], out=tmp_path / "no", classes=("inland waters",)), Silent())
    with pytest.raises(InvalidValue, match="no class 'salines'"):
        explain(ExplainConfig(run=runs[1], out=tmp_path / "no", classes=("salines",)), Silent())
    with pytest.raises(InvalidValue, match="no class 'moon'"):
        ExplainConfig(run=runs[0], out=tmp_path / "no", classes=("moon",))


def test_reference_maps_have_the_classes_of_the_run() -> None:
    """Places of one class are compared with an explanation of another."""
    codes = np.array([[111, 999], [422, 523]]).repeat(60, 0).repeat(60, 1)
    found = classes_of(codes, FORTY_THREE)
    assert found is not None
    expected = [NAMES.index("Continuous urban fabric"), NONE, NAMES.index("Salines"), NAMES.index("Sea and ocean")]
    assert found[::60, ::60].ravel().tolist() == expected
    found = classes_of(codes)
    assert found is not None
    assert found[::60, ::60].ravel().tolist() == [
        CLASSES.index("Urban fabric"), NONE, CLASSES.index("Coastal wetlands"), CLASSES.index("Marine waters")
    ]  # fmt: skip


def test_predictions_have_the_classes_of_the_run(runs: tuple[Path, Path], tmp_path: Path) -> None:
    """A class beyond the 32nd is lost in masks, or a map has other names."""
    told = invoke("predict", runs[0], runs[0].parent / "store", "--out", tmp_path / "map", "--device", "cpu")
    assert told.exit_code == 0, told.stderr
    table = pq.read_table(tmp_path / "map" / "patches.parquet")
    assert [name for name in table.column_names if name in NAMES] == list(NAMES)
    masks = table["label_mask"].to_pylist()
    assert table["labels"].to_pylist() == [list(FORTY_THREE.decode(mask)) for mask in masks]
    assert max(masks) >= 1 << 32
    colours = colours_of(NAMES)
    assert len(set(colours)) == 43
    assert colours[NAMES.index("Continuous urban fabric")] == "#e6004d"
    assert colours_of(CLASSES) == [COLOURS[name] for name in CLASSES]
