"""Runs that train on the validation split too, and runs without validation."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import shards
from bigearth_pipeline.cli import main
from shards import CLASSES
from shards.errors import InvalidValue
from tests.trainer.training.comparing import Notes, assert_same_weights, lines, without_times
from trainer.config.options import TrainConfig
from trainer.data.subset.rows import Subset, select
from trainer.evaluation.run import EvaluationConfig, evaluate_run
from trainer.history.record import RunRecord
from trainer.runs.checkpoint import Checkpoint
from trainer.runtime.stop import Request
from trainer.training.start import resume, train

FAST: dict[str, Any] = {"model": "test_resnet", "device": "cpu", "loader": "torch", "batch_size": 8, "epochs": 2}
ALL: dict[str, Any] = {"train_splits": ("train", "validation"), "validation": False}


@pytest.fixture(scope="module")
def whole(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    """A run on both splits, tested."""
    config = TrainConfig.of(shards=tiny, out=tmp_path_factory.mktemp("all") / "run", test=True, **FAST, **ALL)
    train(config)
    return config


def test_both_splits_are_trained_on(whole: TrainConfig, tiny: Path) -> None:
    """Patches of the validation split are left out, or those of the test split are trained on."""
    described = json.loads((whole.run.out / "description.json").read_text())
    assert described["patches"] == {"train": 32, "test": 5}
    assert [line["step"] for line in lines(whole.run.out)] == [4, 8]
    with shards.open(tiny) as store:
        rows = select(Subset(train_splits=("validation", "train")), store.index, 0)
        both = np.sort(np.concatenate([store.index.rows(split) for split in ("train", "validation")]))
        assert rows["train"].tolist() == both.tolist()
        some = select(Subset(train_splits=("train", "validation"), fraction=0.5), store.index, 0)["train"]
        assert len(some) == 16
        assert np.isin(some, store.index.rows("validation")).any()


def test_a_run_without_validation_says_so(tiny: Path, tmp_path: Path) -> None:
    """The last epoch passes for the best one, or thresholds are tuned on training or test patches."""
    words = ["--set", "data.validation=false", "--set", "data.train_splits=train,validation", "--epochs", "2"]
    words += ["--set", "model.model=test_resnet", "--device", "cpu", "--batch-size", "8", "--test"]
    result = CliRunner().invoke(main, ["train", str(tiny), "--out", str(tmp_path / "run"), *words])
    assert result.exit_code == 0, result.output
    said = "trained on train and validation without validation: best.pt is the last epoch, thresholds are 0.5"
    assert said in result.stderr
    assert "epoch 2/2: loss" in result.stderr
    assert "not validated" in result.stderr
    assert "checkpoint of the last epoch, 2, not validated: " in result.stdout
    best = Checkpoint.read(tmp_path / "run/checkpoints/best.pt")
    assert (best.epoch, best.metrics, best.thresholds) == (2, None, dict.fromkeys(CLASSES, 0.5))
    found = json.loads((tmp_path / "run/metrics-test.json").read_text())
    assert found["tuned"] == found["fixed"]
    record = RunRecord.read(tmp_path / "run")
    assert (record.state, record.to_json()["validation"]["ap_macro"]) == ("finished", None)


def test_scores_on_trained_patches_are_marked(whole: TrainConfig) -> None:
    """An evaluation on the validation split looks like one on unseen patches."""
    notes = Notes()
    found, _ = evaluate_run(EvaluationConfig(run=whole.run.out, split="validation", device="cpu"), notes)
    assert "trained on the validation split: these are no scores on unseen patches" in notes.lines
    assert found.metrics.thresholds_tuned_here is False
    notes = Notes()
    evaluate_run(EvaluationConfig(run=whole.run.out, device="cpu"), notes)
    assert notes.lines == []


@pytest.mark.parametrize("stop_after", [3, 5])
def test_it_resumes(whole: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_after: int) -> None:
    """A resumed run trains on other patches, or ends with another checkpoint."""
    requests = [Request.NONE] * (stop_after - 1) + [Request.TIME_UP]
    with monkeypatch.context() as patch:
        patch.setattr("trainer.runtime.stop.Stop.request", lambda self: requests.pop(0))
        train(whole.replace(out=tmp_path / "run"))
    assert resume(tmp_path / "run").test is not None
    assert_same_weights(tmp_path / "run", whole.run.out)
    assert list(map(without_times, lines(tmp_path / "run"))) == list(map(without_times, lines(whole.run.out)))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"train_splits": ("train", "validation")}, "data.validation=false goes with it"),
        ({"train_splits": ()}, r"data\.train_splits is empty"),
        ({"train_splits": ("validation",), "validation": False}, "expected train, or train and validation"),
        ({"train_splits": ("train", "test"), "validation": False}, "a list of train, validation"),
        ({"train_splits": ("train", "train")}, "expected train, or train and validation"),
    ],
)
def test_other_splits_are_refused(options: dict[str, Any], words: str) -> None:
    """A run trains on the test split, or is scored on its own training patches."""
    with pytest.raises(InvalidValue, match=words):
        TrainConfig.of(shards=Path(), out=Path(), **options)
