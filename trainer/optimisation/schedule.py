"""The learning rate over a run."""

import math
from dataclasses import dataclass
from typing import Final, Literal

from shards.errors import InvalidValue

ScheduleName = Literal["cosine", "constant", "step"]
SCHEDULES: Final[tuple[ScheduleName, ...]] = ("cosine", "constant", "step")

WARMUP_STEPS: Final = 1000
WARMUP_SHARE: Final = 0.1
"""Warm-up takes at most this share of a run, so that a short run has one too."""


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """How the learning rate goes.

    The defaults are the recipe of the reBEN paper (Clasen et al., 2024): 1,000 steps up from a tenth of the highest
    rate, then a cosine down to a tenth.

    Attributes:
        name: what follows the warm-up: `cosine`, down to `final_factor`; `constant`; or `step`, times `gamma` after
            every `step_epochs`.
        warmup_steps: steps in which the rate rises in a line; None for 1,000, but at most a tenth of the run.
        start_factor: share of the highest rate at the first step of the warm-up.
        final_factor: share of the highest rate at the last step of the cosine.
        step_epochs: of `step`; counted from the begin of the run.
        gamma: of `step`.
    """

    name: ScheduleName = "cosine"
    warmup_steps: int | None = None
    start_factor: float = 0.1
    final_factor: float = 0.1
    step_epochs: int = 30
    gamma: float = 0.1

    def __post_init__(self) -> None:
        if self.name not in SCHEDULES:
            raise InvalidValue(f"no schedule {self.name!r}; there are {', '.join(SCHEDULES)}")
        if self.warmup_steps is not None and self.warmup_steps < 0:
            raise InvalidValue(f"warmup_steps is {self.warmup_steps}, expected at least 0")
        for name in ("start_factor", "final_factor", "gamma"):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidValue(f"{name} is {getattr(self, name)}, expected 0 to 1")
        if self.step_epochs < 1:
            raise InvalidValue(f"step_epochs is {self.step_epochs}, expected at least 1")

    def warmup(self, num_steps: int) -> int:
        """Return the steps of warm-up in a run of `num_steps`; if they are as many, it never gets out of it."""
        if self.warmup_steps is not None:
            return self.warmup_steps
        return min(WARMUP_STEPS, int(WARMUP_SHARE * num_steps))


def lr_factor(config: ScheduleConfig, step: int, num_steps: int, steps_per_epoch: int) -> float:
    """Return the share of the highest learning rate, 0 to 1, at a step.

    Args:
        config: how it goes.
        step: from 0.
        num_steps: steps of the run.
        steps_per_epoch: steps of an epoch.
    """
    warmup = config.warmup(num_steps)
    rise = config.start_factor + (1 - config.start_factor) * step / warmup if step < warmup else 1.0
    if config.name == "constant":
        return rise
    if config.name == "step":
        return rise * config.gamma ** (step // steps_per_epoch // config.step_epochs)
    if step < warmup:
        return rise
    done = (step - warmup) / max(1, num_steps - 1 - warmup)
    return config.final_factor + (1 - config.final_factor) * (1 + math.cos(math.pi * done)) / 2
