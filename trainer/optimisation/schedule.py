"""The learning rate over a run."""

import math

from trainer.definition.optimisation import ScheduleConfig


def lr_factor(config: ScheduleConfig, step: int, num_steps: int, steps_per_epoch: int) -> float:
    """Return the share of the highest learning rate, 0 to 1, at a step, before plateau has lowered it.

    Source of the warm restarts: Loshchilov and Hutter, "SGDR" (ICLR 2017).

    Args:
        config: how it goes.
        step: from 0.
        num_steps: steps of the run.
        steps_per_epoch: steps of an epoch.
    """
    warmup = config.warmup(num_steps)
    rise = config.start_factor + (1 - config.start_factor) * step / warmup if step < warmup else 1.0
    if config.schedule in ("constant", "plateau"):
        return rise
    if config.schedule == "step":
        return rise * config.step_gamma ** (step // steps_per_epoch // config.step_epochs)
    if step < warmup:
        return rise
    if config.schedule == "restarts":
        begin, end = _cycle(step, config.restart_epochs * steps_per_epoch, config.restart_growth)
    else:
        begin, end = 0, num_steps
    begin = max(begin, warmup)
    done = (step - begin) / max(1, end - 1 - begin)
    return config.final_factor + (1 - config.final_factor) * (1 + math.cos(math.pi * done)) / 2


def _cycle(step: int, length: int, growth: int) -> tuple[int, int]:
    """Return the first step of the cycle that a step is in, and that of the next cycle."""
    if growth == 1:
        begin = step // length * length
        return begin, begin + length
    begin = 0
    while step >= begin + length:
        begin, length = begin + length, length * growth
    return begin, begin + length
