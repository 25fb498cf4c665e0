"""The passes of `bep bench train` on a device of a known rate, by a clock that only it and the loader's start move."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bigearth_pipeline.bench.passes import take_turns
from bigearth_pipeline.bench.train.measure import bench_train
from bigearth_pipeline.bench.train.passes import StepPasses
from bigearth_pipeline.bench.train.result import FED, LOADER, RESIDENT
from bigearth_pipeline.bench.train.timed_stepper import TimedStepper
from trainer.config.options import TrainConfig
from trainer.data.batch import Batch
from trainer.data.loader import Loader
from trainer.data.stream.iteration import Iteration
from trainer.definition.augmentation import RECIPES
from trainer.runtime.progress import Silent
from trainer.runtime.ranks import Ranks
from trainer.training.loop import Run
from trainer.training.session import Session, open_session

RATE = 12_345.0
"""Patches per second of the device."""
START = 0.01
"""Seconds that the loader takes to start."""


class Clock:
    """Seconds that pass when somebody says so."""

    now = 0.0

    def __call__(self) -> float:
        """Return the seconds so far."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """A clock that every start of the loader's threads moves."""
    clock, start = Clock(), Iteration.__init__

    def begin(self: Iteration, *arguments: Any) -> None:
        clock.now += START
        start(self, *arguments)

    monkeypatch.setattr(Iteration, "__init__", begin)
    return clock


def measure(folder: Path, clock: Clock, least_seconds: float) -> tuple[dict[str, Any], StepPasses]:
    """Measure steps on a device of a known rate, twelve a lap."""

    class Device(TimedStepper):
        """A device."""

        def step(self, batch: Batch, num_patches: int, lr: float, *, measure: bool = False) -> Tensor:
            """Take the time that the patches take."""
            if self.before_next is not None:
                self.before_next()
                self.before_next = None
            clock.now += num_patches / RATE
            return torch.zeros(())

    config = TrainConfig.of(
        shards=folder, out=Path("unused"), epochs=10**6, batch_size=8, augmentation=RECIPES["none"], model="test_resnet"
    )
    with (
        open_session(config, Ranks(torch.device("cpu")), Silent()) as session,
        Run(session, stepper=Device, writes=False) as run,
    ):
        assert isinstance(run.stepper, Device)
        laps = StepPasses(run, run.stepper, batch_size=8, lr=1e-3, clock=clock)
        passes = {name: laps.passes[name] for name in (RESIDENT, FED)}
        rates = take_turns(passes, repeats=3, warm_up=1, least_seconds=least_seconds, clock=clock)
    return rates, laps


@pytest.mark.parametrize("least_seconds", [0.0, 0.02])
def test_a_device_that_is_kept_busy_shows_as_such(folder: Path, clock: Clock, least_seconds: float) -> None:
    """The start of the loader counts as time in which the device waits, so that no loader can be fast enough."""
    rates, laps = measure(folder, clock, least_seconds)
    assert rates[RESIDENT].median == pytest.approx(RATE, rel=1e-6)
    assert rates[FED].share_of(rates[RESIDENT]) == pytest.approx(1, abs=0.003)
    assert rates[FED].start_seconds == pytest.approx([START] * 3)
    assert rates[RESIDENT].start == 0
    # A lap takes 7.8 ms.
    num_laps = 3 if least_seconds else 1
    assert rates[FED].laps == rates[RESIDENT].laps == (num_laps,) * 3
    assert rates[FED].patches == rates[RESIDENT].patches == (num_laps * 96,) * 3
    # Neither warm-up nor starts.
    assert laps.spent.total == pytest.approx(3 * num_laps * 96 / RATE)


def test_nothing_is_written(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A measurement ends in a traceback when the state of a run would be saved, as after ten minutes."""
    monkeypatch.chdir(tmp_path)
    for option in ({"save_steps": 1}, {"save_minutes": 1e-9}):
        config = TrainConfig.of(
            shards=folder, out=Path("unused"), batch_size=8, model="test_resnet", device="cpu", **option
        )
        found = bench_train(config, steps=2, repeats=1, warm_up=0, least_seconds=0, say=lambda name: None)
        assert found.rates[FED].median > 0
    assert list(tmp_path.iterdir()) == []


def test_records_are_kept_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Peak memory is that of records kept twice, or of a split that is not looked at."""
    splits: list[str] = []
    loader = Session.loader

    def noted(self: Session, split: str) -> Loader:
        splits.append(split)
        return loader(self, split)

    monkeypatch.setattr(Session, "loader", noted)
    config = TrainConfig.of(
        shards=folder, out=Path("unused"), batch_size=8, model="test_resnet", cache="ram", device="cpu"
    )
    found = bench_train(config, steps=2, repeats=1, warm_up=0, least_seconds=0, say=lambda name: None)
    assert splits == ["train"]
    assert found.rates.keys() == {FED, LOADER, RESIDENT}
