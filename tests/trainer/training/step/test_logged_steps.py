"""Steps in TensorBoard: which ones, and what they say."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

from shards.errors import InvalidValue
from tests.trainer.training.step.test_cuda_graph import Recorder, batches, create_stepper, recorded
from trainer.config import effect
from trainer.config.given import Given
from trainer.config.options import TrainConfig
from trainer.runs.checkpoint import Checkpoint
from trainer.runtime.stop import Request
from trainer.training.loop import Run
from trainer.training.running_loss import RunningLoss
from trainer.training.start import resume, train
from trainer.training.step import Stepper

CPU = torch.device("cpu")
# 24 patches in batches of 5 are 5 steps an epoch, the last one of 4 patches.
FAST: dict[str, Any] = {"model": "test_resnet", "device": "cpu", "loader": "torch", "threads": 1, "batch_size": 5}
FAST |= {"epochs": 2, "log_steps": 3}


def scalars(folder: Path, tag: str) -> dict[int, float]:
    """Return what TensorBoard shows of a tag by step; of a resumed run what was written last."""
    return {event.step: event.value for event in EventAccumulator(str(folder)).Reload().Scalars(tag)}


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, int, float]]:
    """Loss, patches and gradient norm of each step that is made, as an observer of its own sees them."""
    seen: list[tuple[float, int, float]] = []
    step = Stepper.step

    def observed(self: Stepper, batch: Any, num_patches: int, lr: float, **more: Any) -> torch.Tensor:
        update = self._optimizer.step
        norms: list[float] = []

        def optimizer_step(*arguments: Any, **options: Any) -> Any:
            gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
            norms.append(math.sqrt(sum(float(g.double().square().sum()) for g in gradients)))
            return update(*arguments, **options)

        self._optimizer.step = optimizer_step  # type: ignore[method-assign]
        try:
            loss = step(self, batch, num_patches, lr, **more)
        finally:
            self._optimizer.step = update  # type: ignore[method-assign]
        seen.append((float(loss), num_patches, norms[0]))
        return loss

    monkeypatch.setattr(Stepper, "step", observed)
    return seen


def window(seen: list[tuple[float, int, float]]) -> float:
    """Return the mean loss of the patches of some steps."""
    return sum(loss * patches for loss, patches, _ in seen) / sum(patches for _, patches, _ in seen)


def test_windows_are_means_since_the_last_logged_step(
    tiny: Path, tmp_path: Path, steps: list[tuple[float, int, float]]
) -> None:
    """A point of the curve is the mean since the epoch began, of other steps, or stands at another step."""
    config = TrainConfig.of(shards=tiny, out=tmp_path / "run", **FAST)
    train(config)
    shown = scalars(config.run.out, "train/loss")
    assert list(shown) == [3, 6, 9]
    for step, value in shown.items():
        assert value == pytest.approx(window(steps[step - 3 : step]), rel=1e-6)
    norms = scalars(config.run.out, "train/gradient_norm")
    assert list(norms.values()) == pytest.approx([steps[step - 1][2] for step in shown], rel=1e-5)
    assert list(scalars(config.run.out, "train/lr")) == [3, 6, 9]


@pytest.mark.long
@pytest.mark.parametrize("stop_after", [4, 7])
def test_a_resumed_run_logs_the_same(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_after: int
) -> None:
    """The window in which a run was stopped lacks its first steps, or those of the epoch before."""
    whole = TrainConfig.of(shards=tiny, out=tmp_path / "whole", **FAST)
    train(whole)
    count = 0

    def request(self: object) -> Request:
        nonlocal count
        count += 1
        return Request.TIME_UP if count == stop_after else Request.NONE

    with monkeypatch.context() as patch:
        patch.setattr("trainer.runtime.stop.Stop.request", request)
        train(whole.replace(out=tmp_path / "stopped"))
    resume(tmp_path / "stopped")
    for tag in ("train/loss", "train/lr", "train/gradient_norm"):
        assert scalars(tmp_path / "stopped", tag) == scalars(whole.run.out, tag)


def test_logging_changes_no_weight(tiny: Path, tmp_path: Path) -> None:
    """A run that logs more steps is another run."""
    found = []
    for number, log_steps in enumerate((1, 5)):
        config = TrainConfig.of(shards=tiny, out=tmp_path / str(number), **FAST | {"epochs": 1, "log_steps": log_steps})
        train(config)
        found.append(Checkpoint.read(config.run.out / "checkpoints/last.pt").state)
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())


def test_an_epoch_that_is_shorter_is_logged(tiny: Path, tmp_path: Path) -> None:
    """A small run has no curve at all."""
    config = TrainConfig.of(shards=tiny, out=tmp_path / "run", **FAST).replace(log_steps=None)
    train(config)
    assert list(scalars(config.run.out, "train/loss")) == [5, 10]


def test_the_options_are_shown_as_text(tiny: Path, tmp_path: Path) -> None:
    """TensorBoard shows curves, and not of what."""
    config = TrainConfig.of(shards=tiny, out=tmp_path / "run", **FAST | {"epochs": 1})
    train(config)
    events = EventAccumulator(str(config.run.out)).Reload()
    shown = make_ndarray(events.Tensors("options/text_summary")[0].tensor_proto).item().decode()
    text = (config.run.out / "config.toml").read_text()
    assert [line.removeprefix("    ") for line in shown.splitlines()] == text.splitlines()
    assert events.SummaryMetadata("options/text_summary").plugin_data.plugin_name == "text"


def test_a_longer_window_than_the_run_is_refused(tiny: Path, tmp_path: Path) -> None:
    """A run is logged never, although somebody has said when."""
    config = TrainConfig.of(shards=tiny, out=tmp_path, **FAST | {"log_steps": 11})
    with pytest.raises(InvalidValue, match="`log_steps=11` has no effect: the run has 10 steps"):
        effect.check_size(config, Given.by(config), num_steps=10, largest_part=5, num_patches=24)


@pytest.mark.parametrize("clip", [None, 0.1])
def test_recorded_steps_have_the_norm_of_clipping_only(clip: float | None) -> None:
    """A replay shows the norm of the step that was recorded, or that of an unrecorded one."""
    plain, graphed = create_stepper(clip=clip), create_stepper(clip=clip)
    recorded(graphed, Recorder(graphed._optimizer))
    for number, (batch, other) in enumerate(zip(batches([4] * 5), batches([4] * 5), strict=True)):
        plain.step(batch, 4, 1e-3, measure=True)
        graphed.step(other, 4, 1e-3, measure=True)
        assert plain.norm is not None
        assert (graphed.norm is None) == (clip is None), number
        if graphed.norm is not None:
            torch.testing.assert_close(graphed.norm, plain.norm, rtol=1e-3, atol=1e-6)
    short = next(batches([3]))
    graphed.step(short, 3, 1e-3, measure=True)
    assert graphed.norm is not None


def test_a_state_of_before_has_an_empty_window() -> None:
    """A run of an earlier version cannot be resumed, or its first window is wrong."""
    loss = RunningLoss(CPU)
    loss.load_state_dict({"total": 6.0, "num_patches": 3, "window_total": 0.0, "window_patches": 0})
    loss.add(torch.tensor(1.0), 2, 4)
    seen = loss.look()
    assert (seen.mean, seen.window, seen.bad_step) == (8 / 5, 1.0, None)


def test_a_run_that_only_measures_logs_nothing(tiny: Path, tmp_path: Path) -> None:
    """A benchmark waits for its logged steps."""
    from trainer.runtime.progress import Silent
    from trainer.runtime.ranks import open_ranks
    from trainer.training.session import open_session

    config = TrainConfig.of(shards=tiny, out=tmp_path / "run", **FAST)
    with (
        open_ranks("cpu") as ranks,
        open_session(config, ranks, Silent()) as session,
        Run(session, writes=False) as run,
    ):
        assert not run._windows.is_logged(3)
