"""Where a run is, and what it has come to."""

import math
from dataclasses import dataclass, field
from typing import Any

from trainer.metrics.metrics import Metrics
from trainer.training.stop import Request


@dataclass(frozen=True, slots=True)
class Result:
    """What a run has come to.

    Attributes:
        stopped_by: `SIGNAL` or `TIME_UP` if that stopped the run before its end, so that it can be resumed; None if it
            has reached its end.
        best_epoch: epoch, from 1, of the best checkpoint; None if no epoch has ended.
        validation: its metrics on the validation split.
        test: its metrics on the test split; None unless asked for.
        test_about: what these are of, see `trainer.training.results`.
    """

    stopped_by: Request | None
    best_epoch: int | None
    validation: Metrics | None
    test: Metrics | None = None
    test_about: dict[str, Any] | None = None


@dataclass(slots=True)
class State:
    """Where a run is. What is neither here nor in weights and optimizer follows from the configuration.

    Attributes:
        epoch: epochs done.
        step: steps done in the epoch under way.
        loss: state of the epoch's running loss.
        best_score: highest macro average precision on the validation split so far.
        best_epoch: epoch, from 1, that reached it; 0 before the first.
        ended: the run has reached its end.
    """

    epoch: int = 0
    step: int = 0
    loss: dict[str, float] = field(default_factory=dict)
    best_score: float = -math.inf
    best_epoch: int = 0
    ended: bool = False
