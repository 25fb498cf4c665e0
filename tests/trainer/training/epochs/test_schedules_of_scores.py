"""The schedule plateau: the learning rate follows the scores, in a run that was resumed too."""

from pathlib import Path
from typing import Any

import pytest
from torch.optim import SGD
from torch.optim.lr_scheduler import ReduceLROnPlateau

from tests.trainer.training.comparing import Notes, assert_same_weights, lines, without_times
from trainer.config.options import TrainConfig
from trainer.definition.optimisation import ScheduleConfig
from trainer.runs.state import State
from trainer.runtime.stop import Request
from trainer.training.epochs import best
from trainer.training.epochs.plateau import update_rate
from trainer.training.start import resume, train

# A rate that is too high to learn at.
FAST: dict[str, Any] = {"model": "test_resnet", "device": "cpu", "loader": "torch", "threads": 1, "batch_size": 12}
FAST |= {"epochs": 6, "lr": 1e-9, "schedule": "plateau", "plateau_epochs": 1, "step_gamma": 0.5, "warmup_steps": 0}


@pytest.mark.long
def test_the_rate_falls_on_a_plateau(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rate stays, falls while scores rise, or is another one after a resume."""
    whole = TrainConfig.of(shards=tiny, out=tmp_path / "whole", **FAST)
    notes = Notes()
    train(whole, notes)
    rate, found = 1e-9, []
    for line in lines(whole.run.out):
        found.append(rate)
        rate *= 1.0 if line["is_best"] else 0.5
    assert [line["lr"] for line in lines(whole.run.out)] == pytest.approx(found)
    assert found[-1] < found[0]
    assert any(text.startswith("plateau: the learning rate is 5.00e-10") for text in notes.lines)
    requests = [Request.TIME_UP if step == 9 else Request.NONE for step in range(1, 10)]
    with monkeypatch.context() as patch:
        patch.setattr("trainer.runtime.stop.Stop.request", lambda self: requests.pop(0))
        train(whole.replace(out=tmp_path / "stopped"))
    resume(tmp_path / "stopped")
    assert_same_weights(whole.run.out, tmp_path / "stopped")
    assert list(map(without_times, lines(tmp_path / "stopped"))) == list(map(without_times, lines(whole.run.out)))


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_the_rate_is_that_of_torch(patience: int) -> None:
    """The rate falls an epoch earlier or later than that of torch's scheduler."""
    scores = [0.1, 0.3, 0.2, 0.3, 0.25, 0.4, 0.3, 0.2, 0.1, 0.1, 0.1, 0.5, 0.4, 0.4, 0.4, 0.4]
    import torch

    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    # torch counts the bad epochs that it tolerates, and takes a relative gain of a ten-thousandth for none.
    theirs = ReduceLROnPlateau(optimizer, "max", factor=0.5, patience=patience - 1, threshold=0.0)
    config, state = ScheduleConfig(schedule="plateau", plateau_epochs=patience, step_gamma=0.5), State()
    for score in scores:
        state.epoch += 1
        update_rate(state, config, is_best=best.update_best(state, score))
        theirs.step(score)
        assert state.lr_factor == optimizer.param_groups[0]["lr"], state.epoch
    assert state.lr_factor < 1
