"""The learning rate over a run."""

import math
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trainer.definition.choices import SCHEDULES
from trainer.definition.optimisation import ScheduleConfig
from trainer.optimisation.schedule import lr_factor

EPSILON = 1e-9
factors = st.floats(0, 1)
configs = st.builds(
    ScheduleConfig,
    schedule=st.sampled_from(SCHEDULES),
    warmup_steps=st.none() | st.integers(0, 3000),
    start_factor=factors,
    final_factor=factors,
    step_epochs=st.integers(1, 5),
    step_gamma=factors,
)


@given(configs, st.integers(1, 100_000), st.integers(1, 1000), st.data())
def test_rate_stays_in_its_range(config: ScheduleConfig, num_steps: int, epoch: int, data: st.DataObject) -> None:
    """The learning rate is negative, or higher than the highest."""
    step = data.draw(st.integers(0, num_steps - 1))
    assert 0 <= lr_factor(config, step, num_steps, epoch) <= 1 + EPSILON


@given(
    configs.filter(lambda config: config.schedule != "restarts"),
    st.integers(2, 100_000),
    st.integers(1, 1000),
    st.data(),
)
def test_rate_rises_then_falls_without_jumps(
    config: ScheduleConfig, num_steps: int, epoch: int, data: st.DataObject
) -> None:
    """The learning rate jumps, falls in the warm-up, or rises again after it."""
    warmup = config.warmup(num_steps)
    # The first steps and those around the end of the warm-up are where it goes wrong.
    step = data.draw(st.integers(1, num_steps - 1) | st.integers(max(1, warmup - 2), warmup + 2))
    assume(step < num_steps)
    before, now = (lr_factor(config, s, num_steps, epoch) for s in (step - 1, step))
    dropped = config.schedule == "step" and step % (epoch * config.step_epochs) == 0
    if step <= warmup:
        assert now >= before - EPSILON or dropped
        assert now - before <= (1 - config.start_factor) / warmup + EPSILON
    else:
        assert now <= before + EPSILON
        slope = math.pi / 2 / max(1, num_steps - 1 - warmup) if config.schedule == "cosine" else 0
        assert before - now <= (1 - config.final_factor) * slope + EPSILON or dropped


@given(configs, st.integers(1, 100_000), st.integers(1, 1000))
def test_ends_are_as_told(config: ScheduleConfig, num_steps: int, epoch: int) -> None:
    """A run does not begin or end with the learning rate it was told."""
    warmup = config.warmup(num_steps)
    first, last = (lr_factor(config, step, num_steps, epoch) for step in (0, num_steps - 1))
    assert first == pytest.approx(config.start_factor if warmup else 1)
    if warmup < num_steps - 1:
        drops = (num_steps - 1) // epoch // config.step_epochs
        ends = {"cosine": config.final_factor, "constant": 1, "step": config.step_gamma**drops, "plateau": 1}
        # A run may end within a cycle of restarts.
        assert last == pytest.approx(ends.get(config.schedule, last))
        assert config.schedule in ends or config.final_factor - EPSILON <= last
    if config.schedule != "step" and warmup < num_steps:
        assert lr_factor(config, warmup, num_steps, epoch) == 1


@given(st.integers(1, 50), st.integers(1, 10), st.floats(0.1, 1), st.integers(0, 2000))
def test_steps_come_with_epochs(epoch: int, every: int, gamma: float, step: int) -> None:
    """The learning rate drops in the middle of an epoch, or after other epochs than it was told."""
    config = ScheduleConfig(schedule="step", warmup_steps=0, step_epochs=every, step_gamma=gamma)
    expected = 1.0
    for later in range(1, step + 1):
        expected *= gamma if later % (epoch * every) == 0 else 1
    assert lr_factor(config, step, 2001, epoch) == pytest.approx(expected)


def test_defaults_are_the_published_recipe() -> None:
    """Published results cannot be repeated with the default schedule."""
    num_steps = 100 * 465
    found = [lr_factor(ScheduleConfig(), step, num_steps, 465) for step in (0, 500, 1000, 23750, num_steps - 1)]
    assert found == pytest.approx([0.1, 0.55, 1, 0.55, 0.1], abs=1e-4)


@given(st.integers(1, 20_000))
def test_a_short_run_has_a_short_warm_up(num_steps: int) -> None:
    """A run of less than 1,000 steps never gets out of its warm-up."""
    assert ScheduleConfig().warmup(num_steps) == min(1000, num_steps // 10)
    assert ScheduleConfig(warmup_steps=1000).warmup(num_steps) == 1000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schedule": "linear"}, "cosine, constant, step"),
        ({"warmup_steps": -1}, "warmup_steps is -1"),
        ({"start_factor": 1.5}, "start_factor is 1.5"),
        ({"final_factor": math.nan}, "final_factor is nan"),
        ({"step_gamma": -0.1}, "gamma is -0.1"),
        ({"step_epochs": 0}, "step_epochs is 0"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    """A run starts with a learning rate that makes no sense."""
    with pytest.raises(ValueError, match=message):
        ScheduleConfig(**options)


def test_cycles_restart() -> None:
    """The rate does not come back, cycles do not grow, or one ends above its end."""
    # Two steps an epoch: cycles of 4, 8 and 16 steps, the first after two steps of warm-up.
    config = ScheduleConfig(
        schedule="restarts", restart_epochs=2, restart_growth=2, warmup_steps=2, start_factor=0.5, final_factor=0.25
    )
    rates = [lr_factor(config, step, 28, 2) for step in range(28)]
    assert rates[:3] == [0.5, 0.75, 1.0]
    tops = [step for step in range(1, 28) if rates[step] > rates[step - 1]]
    assert tops == [1, 2, 4, 12]
    assert [rates[step] for step in (2, 4, 12)] == [1.0] * 3
    assert [rates[step] for step in (3, 11, 27)] == pytest.approx([0.25] * 3)
    even = ScheduleConfig(schedule="restarts", restart_epochs=2, warmup_steps=0, final_factor=0.0)
    expected = [(1 + math.cos(math.pi * (step % 4) / 3)) / 2 for step in range(12)]
    assert [lr_factor(even, step, 12, 2) for step in range(12)] == pytest.approx(expected)


def test_a_plateau_begins_as_a_constant_rate() -> None:
    """The rate falls without a score."""
    config = ScheduleConfig(schedule="plateau", warmup_steps=2, start_factor=0.5)
    assert [lr_factor(config, step, 9, 3) for step in range(9)] == [0.5, 0.75] + [1.0] * 7
