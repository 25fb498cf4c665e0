"""The learning rate over a run."""

import math

from trainer.definition.optimisation import ScheduleConfig


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
    if config.schedule == "constant":
        return rise
    if config.schedule == "step":
        return rise * config.step_gamma ** (step // steps_per_epoch // config.step_epochs)
    if step < warmup:
        return rise
    done = (step - warmup) / max(1, num_steps - 1 - warmup)
    return config.final_factor + (1 - config.final_factor) * (1 + math.cos(math.pi * done)) / 2
