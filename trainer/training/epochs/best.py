"""The best epoch of a run by its score on the validation split."""

import math
from typing import TYPE_CHECKING

from trainer.definition.choices import Monitor

if TYPE_CHECKING:
    from trainer.metrics.metrics import Metrics
    from trainer.runs.state import State


def value_of(metrics: "Metrics", monitor: Monitor) -> float | None:
    """Return the monitored value of an epoch as it is reported; None if no class occurs in the split.

    Args:
        metrics: of the validation split.
        monitor: name of the value; those of F1 are at a threshold of 0.5, as tuned ones are too high where they were
            tuned.
    """
    value: float | None = getattr(metrics, monitor)
    return value


def score_of(value: float | None, monitor: Monitor) -> float:
    """Return a number that is the higher the better, of a monitored value; the lowest for None."""
    if value is None:
        return -math.inf
    return -value if monitor == "loss" else value


def update_best(state: "State", score: float) -> bool:
    """Return True if the epoch that `state` has just ended is the best so far, and note it there.

    Args:
        state: after its epoch was counted.
        score: of the epoch, see `score_of`. Of epochs with the same score the first is the best.
    """
    is_best = state.best_epoch == 0 or score > state.best_score
    if is_best:
        state.best_score, state.best_epoch = score, state.epoch
    return is_best


def judge(state: "State", metrics: "Metrics | None", monitor: Monitor) -> tuple[bool, float]:
    """Return whether the epoch that `state` has just ended is the best so far, which is noted there, and its score.

    Without metrics, as a run without validation has none, the last epoch is the best.
    """
    if metrics is None:
        state.best_epoch = state.epoch
        return True, -math.inf
    score = score_of(value_of(metrics, monitor), monitor)
    return update_best(state, score), score
