"""Runs that are stopped, resumed, finished or damaged."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.conftest import Run
from tests.trainer.training.comparing import Notes, assert_same_weights, lines, without_times
from trainer.config.options import TrainConfig
from trainer.definition.augmentation import RECIPES
from trainer.errors import RunExists, TrainError
from trainer.runs.checkpoint import Checkpoint
from trainer.runtime.stop import Request
from trainer.training.start import resume, train

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "everything": {
        "model": "test_resnet",
        "bands": ("B04", "B03", "B02"),
        "augmentation": RECIPES["strong"],
        "drop_rate": 0.3,
        "drop_path_rate": 0.2,
        "ema": 0.9,
        "clip": 1.0,
        "accumulate": 2,
        "optimizer": "sgd",
        "loss": "asymmetric",
        "label_smoothing": 0.0,
        "schedule": "step",
        "step_epochs": 1,
        "order": "block",
        "normalise": "percentile",
        "interpolation": "bilinear",
    },
}


@pytest.fixture(scope="module", params=OPTIONS.values(), ids=OPTIONS.keys())
def whole(request: pytest.FixtureRequest, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    """A run that was not interrupted."""
    out = tmp_path_factory.mktemp("whole") / "run"
    config = TrainConfig.of(shards=tiny, out=out, epochs=2, batch_size=7, threads=1, **request.param)
    train(config)
    return config


@pytest.mark.long
@pytest.mark.parametrize("stop_after", [6, *(pytest.param(steps, marks=pytest.mark.long) for steps in (1, 4, 8))])
def test_a_stopped_run_ends_as_if_it_had_not_been(
    whole: TrainConfig, tmp_path: Path, stop_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resumed run trains on other batches, other draws or other optimizer states than an uninterrupted one."""
    # The time is up after a number of steps.
    steps = 0

    def request(self: object) -> Request:
        nonlocal steps
        steps += 1
        return Request.TIME_UP if steps == stop_after else Request.NONE

    with monkeypatch.context() as patch:
        patch.setattr("trainer.runtime.stop.Stop.request", request)
        stopped = train(whole.replace(out=tmp_path / "stopped"))
    # 24 patches in batches of 7 are 4 steps an epoch.
    assert stopped.stopped_by is Request.TIME_UP
    before = Checkpoint.read(tmp_path / "stopped/checkpoints/last.pt").progress
    assert before is not None
    notes = Notes()
    assert resume(tmp_path / "stopped", notes, threads=2).stopped_by is None
    place = before["state"]
    assert f"resumed in epoch {place['epoch'] + 1}, after {place['step']} of 4 steps" in notes.lines
    after = Checkpoint.read(tmp_path / "stopped/checkpoints/last.pt").progress
    assert after is not None
    assert 0 < before["state"]["seconds"] < after["state"]["seconds"]
    assert_same_weights(whole.run.out, tmp_path / "stopped")
    expected, found = (list(map(without_times, lines(out))) for out in (whole.run.out, tmp_path / "stopped"))
    assert found == expected


def test_a_finished_run_is_left_as_it_is(run: Run, tmp_path: Path) -> None:
    """Resuming a finished run trains on, spoils it, or does not say that it is finished."""
    notes = Notes()
    copy = shutil.copytree(run.config.run.out, tmp_path / "run")
    result = resume(copy, notes)
    epochs = run.config.optimisation.epochs
    assert f"the run is finished already: {epochs} of {epochs} epochs" in notes.lines
    assert result.stopped_by is None
    assert result.validation == run.result.validation
    assert_same_weights(copy, run.config.run.out)
    assert lines(copy) == lines(run.config.run.out)


def test_memory_for_the_test_split_is_not_asked_for_at_the_end(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After hours of training `--cache ram` fails for want of memory, and the results of the test split are lost."""
    asked: list[int] = []

    def available() -> int:
        asked.append(1)
        # As if training and validation took all there is.
        return 1 << 30 if len(asked) <= 2 else 0

    monkeypatch.setattr("shards.storage.shared_cache.available_bytes", available)
    config = TrainConfig.of(
        shards=tiny, out=tmp_path / "run", model="test_resnet", device="cpu", epochs=1, batch_size=8, cache="ram",
        test=True, max_steps=1,
    )  # fmt: skip
    assert train(config).test is not None
    assert len(asked) == 2


def test_only_harmless_options_change_on_resume(run: Run) -> None:
    """A resumed run silently is another one."""
    with pytest.raises(ValueError, match="`lr=` cannot change when a run is resumed"):
        resume(run.config.run.out, lr=0.1)


@pytest.mark.parametrize("damage", ["cut", "flip", "absent", "config"])
def test_a_damaged_run_is_named(run: Run, tmp_path: Path, damage: str) -> None:
    """A damaged checkpoint ends in a traceback, or is trained on."""
    copy = shutil.copytree(run.config.run.out, tmp_path / "run")
    last = copy / "checkpoints/last.pt"
    content = bytearray(last.read_bytes())
    if damage == "cut":
        last.write_bytes(content[: len(content) // 2])
    elif damage == "flip":
        content[len(content) // 2] ^= 4
        last.write_bytes(content)
    elif damage == "absent":
        last.unlink()
    else:
        (copy / "config.toml").write_text("")
    with pytest.raises(TrainError, match=str(copy)):
        resume(copy)


@pytest.mark.parametrize("used", ["a run", "something else"])
def test_a_folder_in_use_is_refused(run: Run, tmp_path: Path, used: str) -> None:
    """A second run overwrites the first, or somebody's files."""
    out = run.config.run.out if used == "a run" else tmp_path
    (tmp_path / "file").write_text("precious")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    message = "holds a run; resume it with `resume=" if used == "a run" else "is not empty"
    with pytest.raises(RunExists, match=message):
        train(run.config.replace(out=out))
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
