"""Checkpoints of the best epochs that are kept, and what decides which epochs are the best."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from bigearth_pipeline.cli import main
from shards.errors import InvalidValue
from tests.trainer.training.comparing import lines
from trainer.config.options import TrainConfig
from trainer.errors import BadCheckpoint, TrainError
from trainer.evaluation.run import EvaluationConfig, evaluate_run
from trainer.runs import kept
from trainer.runs.checkpoint import Checkpoint
from trainer.training.saving import Saving
from trainer.training.start import resume, train

FAST: dict[str, Any] = {"model": "test_resnet", "device": "cpu", "loader": "torch", "threads": 1}
# 24 patches in batches of 12 are 2 steps an epoch.
FAST |= {"batch_size": 12, "epochs": 4, "keep": 2}


class KilledError(Exception):
    """The process was killed."""


@pytest.fixture(scope="module")
def whole(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    """A run that keeps its two best epochs by the loss."""
    config = TrainConfig.of(shards=tiny, out=tmp_path_factory.mktemp("kept") / "run", monitor="loss", **FAST)
    train(config)
    return config


def names(folder: Path) -> set[str]:
    """Return the names of the kept checkpoints."""
    return {path.name for path in (folder / "checkpoints").glob("epoch-*")}


def expected(folder: Path, monitor: str, number: int) -> set[str]:
    """Return the names that the report of the run says are to be kept."""
    sign = 1 if monitor == "loss" else -1
    best = sorted(lines(folder), key=lambda line: (sign * line["validation"][monitor], line["epoch"]))[:number]
    return {kept.name_of(line["epoch"], monitor, line["validation"][monitor]) for line in best}


def test_the_best_epochs_are_kept(whole: TrainConfig) -> None:
    """The wrong epochs are kept, or a file holds another epoch than its name says."""
    folder = whole.run.out
    assert names(folder) == expected(folder, "loss", 2)
    best = Checkpoint.read(folder / "checkpoints/best.pt")
    for name in names(folder):
        checkpoint = Checkpoint.read(folder / "checkpoints" / name)
        assert checkpoint.epoch == int(name[6:10])
        line = lines(folder)[checkpoint.epoch - 1]
        assert checkpoint.metrics is not None
        assert checkpoint.metrics["loss"] == line["validation"]["loss"]
        if checkpoint.epoch == best.epoch:
            assert all(torch.equal(value, best.state[key]) for key, value in checkpoint.state.items())


def test_the_monitored_value_decides(whole: TrainConfig) -> None:
    """The best epoch is that of another value than the one that was chosen."""
    losses = [line["validation"]["loss"] for line in lines(whole.run.out)]
    best = [line["epoch"] for line in lines(whole.run.out) if line["is_best"]]
    assert best[-1] == losses.index(min(losses)) + 1
    assert Checkpoint.read(whole.run.out / "checkpoints/best.pt").epoch == best[-1]


# Of the four epochs with two files each at most: during the file of an epoch, and after it and before the state.
@pytest.mark.long
@pytest.mark.parametrize("place", ["before the state", "after the state"])
@pytest.mark.parametrize("epoch", [2, 3])
def test_a_kill_leaves_the_right_files(
    whole: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, epoch: int
) -> None:
    """After a kill, files of an epoch that is made again are left, or files that the run keeps are gone."""
    config = whole.replace(out=tmp_path / "run")
    save, prune = Saving.save, Saving.prune

    def killed_save(self: Saving, state: Any, *more: Any) -> None:
        if state.epoch == epoch and state.step == 0 and place == "before the state":
            raise KilledError
        save(self, state, *more)

    def killed_prune(self: Saving, state: Any) -> None:
        if state.epoch == epoch and place == "after the state":
            raise KilledError
        prune(self, state)

    with monkeypatch.context() as patch:
        patch.setattr(Saving, "save", killed_save)
        patch.setattr(Saving, "prune", killed_prune)
        with pytest.raises(KilledError):
            train(config)
    stray = config.run.out / "checkpoints/epoch-0009-loss-0.1000.pt"
    # As a killed run leaves it whose epoch is made again with another last digit.
    shutil.copy(config.run.out / "checkpoints/last.pt", stray)
    own = config.run.out / "checkpoints/epoch-mine.pt"
    own.write_bytes(b"mine")
    resume(config.run.out)
    assert names(config.run.out) == names(whole.run.out) | {own.name}
    assert lines(config.run.out)[-1]["validation"] == lines(whole.run.out)[-1]["validation"]


def test_only_own_files_are_removed(tmp_path: Path) -> None:
    """A user's file is deleted because of its name."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (folder / "epoch-0001-loss-0.1000.pt").write_bytes(b"not of a run")
    (folder / "epoch-0002-loss-0.1000.pt").symlink_to(folder / "epoch-0001-loss-0.1000.pt")
    (folder / "epoch-0003-loss-0.1000.pt").mkdir()
    kept.prune(tmp_path, ())
    assert len(list(folder.iterdir())) == 3


def test_fewer_are_kept_after_a_resume(whole: TrainConfig, tmp_path: Path) -> None:
    """A run that is resumed with another number keeps the old one."""
    folder = shutil.copytree(whole.run.out, tmp_path / "run")
    resume(folder, epochs=5, keep=1)
    assert names(folder) == expected(folder, "loss", 1)
    folder = shutil.copytree(whole.run.out, tmp_path / "other")
    resume(folder, keep=None, epochs=5)
    assert names(folder) == names(whole.run.out)


def test_ties_go_to_the_earlier_epoch() -> None:
    """Epochs without a score, or with equal ones, push each other out."""
    files: dict[str, float] = {}
    assert kept.enter(files, "a", 0.5, 2)
    assert kept.enter(files, "b", 0.5, 2)
    assert not kept.enter(files, "c", 0.5, 2)
    assert kept.enter(files, "d", 0.6, 2)
    assert files == {"a": 0.5, "d": 0.6}
    assert kept.NAME.fullmatch(kept.name_of(12345, "f1_macro", None))
    assert kept.NAME.fullmatch(kept.name_of(1, "loss", 12.5))


def test_a_kept_checkpoint_is_evaluated(whole: TrainConfig, tmp_path: Path) -> None:
    """`bep evaluate` evaluates the best epoch in place of the one that is named, or overwrites its results."""
    folder = shutil.copytree(whole.run.out, tmp_path / "run")
    best = Checkpoint.read(folder / "checkpoints/best.pt").epoch
    name = next(name for name in sorted(names(folder)) if int(name[6:10]) != best)
    by_default, file = evaluate_run(EvaluationConfig(run=folder, device="cpu"))
    result = CliRunner().invoke(main, ["evaluate", str(folder), "--checkpoint", name, "--device", "cpu"])
    assert result.exit_code == 0, result.stderr
    found, other = evaluate_run(EvaluationConfig(run=folder, device="cpu", checkpoint=folder / "checkpoints" / name))
    assert file is not None
    assert other is not None
    assert (found.epoch, found.about["checkpoint"]) == (int(name[6:10]), name)
    assert (by_default.epoch, by_default.about["checkpoint"]) == (best, None)
    assert f"epoch {found.epoch}" in result.stdout
    assert found.metrics.loss != by_default.metrics.loss
    assert {path.name for path in folder.glob("metrics-test*.json")} == {file.name, other.name}
    same, again = evaluate_run(EvaluationConfig(run=folder, device="cpu", checkpoint=Path("best.pt")))
    assert (again, same.metrics.loss) == (file, by_default.metrics.loss)


def test_other_checkpoints_are_refused(whole: TrainConfig, tmp_path: Path, tiny: Path) -> None:
    """A checkpoint without thresholds has them tuned on the test split, or one of another run counts as this one's."""
    with pytest.raises(BadCheckpoint, match="has no thresholds"):
        evaluate_run(EvaluationConfig(run=whole.run.out, checkpoint=Path("last.pt")))
    kept = [path.name for path in (whole.run.out / "checkpoints").glob("epoch-*.pt")]
    assert kept
    with pytest.raises(TrainError, match="there is no checkpoint epoch-9") as caught:
        evaluate_run(EvaluationConfig(run=whole.run.out, checkpoint=Path("epoch-9.pt")))
    # The last state is for resuming alone.
    there = str(caught.value).partition("checkpoints has ")[2]
    assert re.split(", | and ", there) == ["best.pt", *sorted(kept)]
    with pytest.raises(TrainError, match=r"bets\.pt, perhaps best\.pt; "):
        evaluate_run(EvaluationConfig(run=whole.run.out, checkpoint=Path("bets.pt")))
    other = whole.replace(out=tmp_path / "other", seed=3, epochs=1)
    train(other)
    with pytest.raises(BadCheckpoint, match=r"is not of the run .*: run\.seed differ"):
        evaluate_run(EvaluationConfig(run=whole.run.out, checkpoint=other.run.out / "checkpoints/best.pt"))
    result = CliRunner().invoke(main, ["evaluate", "--weights", "x", "--shards", str(tiny), "--checkpoint", "best.pt"])
    assert result.stderr == "Error: --checkpoint is for a run, expected none beside --weights\n"


def test_an_unknown_monitor_is_refused() -> None:
    """A score that there is not is found out at the end of the first epoch."""
    with pytest.raises(InvalidValue, match=r"run\.monitor is 'auc', expected"):
        TrainConfig.of(shards=Path(), out=Path(), monitor="auc")
