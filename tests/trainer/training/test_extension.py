"""Runs that are resumed with another length."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from bigearth_pipeline.cli import main
from shards.errors import InvalidValue
from tests.trainer.training.comparing import Notes, assert_same_weights, lines, without_times
from trainer.config import stored
from trainer.config.assemble import Setting, assemble
from trainer.config.options import TrainConfig
from trainer.errors import TrainError
from trainer.runs.checkpoint import Checkpoint
from trainer.training.start import resume, train

# 24 patches in batches of 7 are 4 steps an epoch.
STEADY = {"batch_size": 7, "threads": 1, "schedule": "constant", "warmup_steps": 0, "model": "test_resnet"}


@pytest.fixture(scope="module")
def short(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    """A run of two epochs with a constant learning rate."""
    config = TrainConfig.of(shards=tiny, out=tmp_path_factory.mktemp("extension") / "short", epochs=2, **STEADY)
    train(config)
    return config


def copy_of(config: TrainConfig, folder: Path) -> Path:
    """Return a copy of the folder of a run."""
    return shutil.copytree(config.run.out, folder)


@pytest.mark.long
def test_an_extended_run_is_that_of_the_length(short: TrainConfig, tmp_path: Path) -> None:
    """With a learning rate that does not depend on the length, a run of 2 epochs and 2 more is not one of 4."""
    whole = short.replace(out=tmp_path / "whole", epochs=4)
    train(whole)
    folder, notes = copy_of(short, tmp_path / "extended"), Notes()
    result = resume(folder, notes, epochs=4)
    assert result.stopped_by is None
    assert "4 epochs in place of 2 epochs: the learning rate follows the new length" in notes.lines
    assert_same_weights(folder, whole.run.out)
    assert list(map(without_times, lines(folder))) == list(map(without_times, lines(whole.run.out)))
    assert stored.read(folder) == short.replace(epochs=4)
    # And it is finished now.
    assert resume(folder).validation == result.validation


@pytest.mark.long
def test_the_learning_rate_follows_the_new_length(short: TrainConfig, tmp_path: Path) -> None:
    """An extended run trains on at the rate that a cosine ends with."""
    config = short.replace(out=tmp_path / "run", schedule="cosine", epochs=1)
    train(config)
    resume(config.run.out, epochs=3)
    rates = [line["lr"] for line in lines(config.run.out)]
    expected = short.replace(out=tmp_path / "whole", schedule="cosine", epochs=3)
    train(expected)
    assert rates[0] == pytest.approx(0.1 * config.optimisation.lr)
    assert rates[1:] == [line["lr"] for line in lines(expected.run.out)][1:]


def test_a_run_that_steps_have_ended_goes_on(short: TrainConfig, tmp_path: Path) -> None:
    """`max_steps` is raised, or lifted, and the run is still called finished."""
    config = short.replace(out=tmp_path / "run", max_steps=3, epochs=5)
    train(config)
    resume(config.run.out, max_steps=8)
    assert [line["epoch"] for line in lines(config.run.out)] == [1, 2]
    resume(config.run.out, max_steps=None, epochs=3)
    assert [line["step"] for line in lines(config.run.out)] == [3, 8, 12]
    assert stored.read(config.run.out) == config.replace(max_steps=None, epochs=3)


def test_a_run_can_be_shortened_to_where_it_is(short: TrainConfig, tmp_path: Path) -> None:
    """A run is cut to fewer epochs than it has made."""
    folder = copy_of(short, tmp_path / "run")
    resume(folder, epochs=5, max_minutes=1e-9)
    before = (folder / "checkpoints/last.pt").read_bytes()
    with pytest.raises(InvalidValue, match=r"`epochs=1`, and the run is in epoch [23]: expected at least that"):
        resume(folder, epochs=1)
    with pytest.raises(InvalidValue, match=r"`max_steps=7`, and the run has made [89]: expected at least that"):
        resume(folder, max_steps=7)
    assert (folder / "checkpoints/last.pt").read_bytes() == before
    result = resume(folder, epochs=3)
    assert result.stopped_by is None
    assert len(lines(folder)) == 3
    assert stored.read(folder) == short.replace(epochs=3)


def test_the_same_length_changes_nothing(short: TrainConfig, tmp_path: Path) -> None:
    """A script that always names the epochs writes a finished run anew."""
    folder = copy_of(short, tmp_path / "run")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and "tfevents" not in path.name}
    assert resume(folder, epochs=2).stopped_by is None
    assert {path: path.read_bytes() for path in before} == before


def test_an_extension_that_was_cut_off_can_be_given_again(short: TrainConfig, tmp_path: Path) -> None:
    """A kill between the two files that say the length leaves a run that cannot be resumed."""
    folder = copy_of(short, tmp_path / "run")
    old = (folder / "config.toml").read_text()
    resume(folder, epochs=3, max_minutes=1e-9)
    (folder / "config.toml").write_text(old)
    with pytest.raises(TrainError, match=r"was edited: checkpoints/last\.pt was trained with optimisation\.epochs 3"):
        resume(folder)
    assert resume(folder, epochs=3).stopped_by is None
    assert stored.read(folder).optimisation.epochs == 3
    assert len(lines(folder)) == 3


def test_recipes_stay_in_the_file(tiny: Path, tmp_path: Path) -> None:
    """The file of an extended run does not repeat it, since what a recipe says counts as given."""
    settings = {"data.shards": tiny, "run.out": tmp_path / "run", "optimisation.epochs": 1, "machine.device": "cpu"}
    settings |= {"augmentation.augment": "flips", "optimisation.batch_size": 8, "model.model": "test_resnet"}
    config, given = assemble([Setting(key, value, "flag") for key, value in settings.items()], recipe="reben")
    train(config, given=given)
    file = config.run.out / "config.toml"
    before = file.read_text()
    assert 'recipe = "reben"' in before
    assert 'augment = "flips"' in before
    resume(config.run.out, epochs=2)
    assert file.read_text() == before.replace("\nepochs = 1\n", "\nepochs = 2\n")


def test_the_command_line_extends(short: TrainConfig, tmp_path: Path) -> None:
    """The flag is refused, or the words name it as a library does."""
    folder = copy_of(short, tmp_path / "run")
    result = CliRunner().invoke(main, ["train", "--resume", str(folder), "--epochs", "3", "--json"])
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["finished"] is True
    assert "3 epochs in place of 2 epochs" in result.stderr
    result = CliRunner().invoke(main, ["train", "--resume", str(folder), "--epochs", "2"])
    assert result.exit_code == 1
    assert result.stderr == "Error: --epochs 2, and the run is in epoch 3: expected at least that\n"
    last = Checkpoint.read(folder / "checkpoints/last.pt")
    assert all(torch.isfinite(value).all() for value in last.state.values())
