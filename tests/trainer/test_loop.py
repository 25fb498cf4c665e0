"""Training from end to end."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from shards import BANDS, CLASSES, ShardError
from tests.trainer.conftest import Run
from tests.trainer.store import NUM_CLASSES, make_store
from trainer import models
from trainer.config import TrainConfig
from trainer.errors import NonFiniteLoss, RunExists, TrainError
from trainer.loop import train


def lines(run: Run) -> list[dict[str, object]]:
    """Return the lines of a run's metrics."""
    return [json.loads(line) for line in (run.config.out / "metrics.jsonl").read_text().splitlines()]


def test_training_learns(run: Run) -> None:
    """The model sees wrong labels or wrong pixels, or no gradient reaches it."""
    validation, test = run.result.validation, run.result.test
    assert validation.ap_macro > validation.label_frequency + 0.4
    assert test is not None
    assert test.ap_macro > test.label_frequency + 0.4
    first, second = lines(run)
    assert second["train_loss"] < first["train_loss"]


def test_the_folder_of_a_run_is_complete(run: Run) -> None:
    """A result cannot be traced to what it was made of."""
    out = run.config.out
    assert {path.name for path in out.iterdir()} == {
        "config.json",
        "metrics.jsonl",
        "checkpoint.pt",
        "metrics-test.json",
    }
    config = json.loads((out / "config.json").read_text())
    assert config["options"] == run.config.to_json()
    assert config["bands"] == list(BANDS)
    assert config["classes"] == list(CLASSES)
    assert config["patches"] == {"train": 96, "validation": 40, "test": 20}
    assert {"python", "torch", "timm", "torchmetrics", "numpy"} <= config["versions"].keys()
    assert any(name.startswith("nvidia-dali") for name in config["versions"])
    assert json.loads((out / "metrics-test.json").read_text())["count"] == 20


def test_metrics_have_a_line_an_epoch(run: Run) -> None:
    """A learning curve has gaps, or claims a figure for a class that does not occur."""
    assert [line["epoch"] for line in lines(run)] == [1, 2]
    for line in lines(run):
        classes = line["validation"]["classes"]
        assert [name for name, values in classes.items() if values["ap"] is None] == list(CLASSES[NUM_CLASSES:])
        assert 0 <= line["wait_share"] <= 1
        assert line["patches_per_second"] > 0
    best = max(lines(run), key=lambda line: line["validation"]["ap_macro"])
    assert best["validation"] == run.result.validation.to_json()


def test_a_run_can_be_repeated(tiny: Path, tmp_path: Path) -> None:
    """The same seed gives another result, or another seed the same."""
    losses = []
    for i, seed in enumerate((1, 1, 2)):
        config = TrainConfig(data=tiny, out=tmp_path / str(i), epochs=1, batch_size=16, seed=seed)
        train(config)
        losses.append(json.loads((config.out / "metrics.jsonl").read_text())["train_loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert losses[0] != pytest.approx(losses[2], rel=1e-4)


def test_a_folder_in_use_is_refused(run: Run) -> None:
    """A second run overwrites the checkpoint of the first."""
    before = (run.config.out / "checkpoint.pt").read_bytes()
    with pytest.raises(RunExists, match="is not empty"):
        train(run.config)
    assert (run.config.out / "checkpoint.pt").read_bytes() == before


@pytest.mark.parametrize(
    ("counts", "missing"),
    [({"validation": 2}, "train"), ({"train": 2}, "validation"), ({"train": 2, "validation": 2}, "test")],
)
def test_missing_splits_are_named(tmp_path: Path, counts: dict[str, int], missing: str) -> None:
    """Shards without a split that is needed end in an error from deep within, perhaps after hours of training."""
    data = make_store(tmp_path / "store", counts)
    with pytest.raises(TrainError, match=f"no patches in the split {missing}"):
        train(TrainConfig(data=data, out=tmp_path / "run", test=True))
    assert not (tmp_path / "run").exists()


def test_no_store_is_named(tmp_path: Path) -> None:
    """A wrong path leaves an empty run behind, or is not named."""
    with pytest.raises(ShardError, match="it is not a shard store"):
        train(TrainConfig(data=tmp_path, out=tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_ends_the_run(tiny: Path, tmp_path: Path, no_new_threads: None) -> None:
    """A run goes on for days with a model of NaN."""
    config = TrainConfig(data=tiny, out=tmp_path / "run", epochs=1, batch_size=8, lr=1e30)
    with pytest.raises(NonFiniteLoss, match=r"the loss of step [23] of epoch 1 is not finite"):
        train(config)
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch_size": -1},
        {"threads": 0},
        {"lr": float("nan")},
        {"lr": 0.0},
        {"weight_decay": -0.1},
        {"seed": -1},
    ],
)
def test_wrong_options_are_named(run: Run, wrong: dict[str, float]) -> None:
    """A wrong option is found out late, or never."""
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is {next(iter(wrong.values()))}, expected"):
        replace(run.config, **wrong)


def test_logits_are_float32() -> None:
    """Scores of eight bits put many patches at the same rank."""
    with torch.inference_mode():
        scores = models.logits(models.create().eval(), torch.randn(2, 12, 120, 120))
    assert scores.shape == (2, len(CLASSES))
    assert scores.dtype == torch.float32
    assert not torch.equal(scores, scores.bfloat16().float())
