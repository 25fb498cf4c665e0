"""State of a run, and its result."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from shards.errors import InvalidValue
from trainer.metrics.metrics import Metrics
from trainer.runtime.stop import Request


@dataclass(frozen=True, slots=True)
class Result:
    """Result of a run.

    Attributes:
        stopped_by: `SIGNAL` or `TIME_UP` if that stopped the run before its end, so that it can be resumed; None if it
            has reached its end.
        best_epoch: epoch, from 1, of the best checkpoint; None if no epoch has ended.
        validation: its metrics on the validation split.
        test: its metrics on the test split; None unless asked for.
        test_about: what these are of, see `trainer.runs.results`.
    """

    stopped_by: Request | None
    best_epoch: int | None
    validation: Metrics | None
    test: Metrics | None = None
    test_about: dict[str, Any] | None = None


_LOSS: Final = {"total", "num_patches", "window_total", "window_patches"}


@dataclass(slots=True)
class State:
    """State of a run. What is neither here nor in weights and optimizer follows from the configuration.

    Attributes:
        epoch: epochs done.
        step: steps done in the epoch under way.
        loss: state of the running losses of the epoch and since the last logged step.
        best_score: highest score on the validation split so far, see `trainer.training.epochs.best.score_of`.
        best_epoch: epoch, from 1, that reached it; 0 before the first.
        ended: the run has reached its end.
        seconds: wall-clock time of training and validation so far, over all starts.
        lr_factor: share of the learning rate that the schedule plateau has left.
        lr_epoch: epoch, from 1, that was the best so far or lowered the rate, whichever came last; 0 before the first.
        kept: scores by name of the checkpoints that are kept, see `trainer.runs.kept`.
    """

    epoch: int = 0
    step: int = 0
    loss: dict[str, float] = field(default_factory=dict)
    best_score: float = -math.inf
    best_epoch: int = 0
    ended: bool = False
    seconds: float = 0.0
    lr_factor: float = 1.0
    lr_epoch: int = 0
    kept: dict[str, float] = field(default_factory=dict)

    @classmethod
    def from_json(cls, values: Any) -> "State":
        """Return the state that a checkpoint holds.

        Raises:
            InvalidValue: it is none.
        """
        names = {part.name: type(part.default) for part in fields(cls) if part.name not in ("loss", "kept")}
        if isinstance(values, Mapping):
            # Checkpoints of before do not say how long it took, and know neither plateaus nor other checkpoints.
            values = {"seconds": 0.0, "kept": {}, "lr_factor": 1.0, "lr_epoch": 0, **values}
        if not isinstance(values, Mapping) or values.keys() != names.keys() | {"loss", "kept"}:
            raise InvalidValue(f"the state is {values!r:.200}, expected {', '.join([*names, 'loss', 'kept'])}")
        for name, kind in names.items():
            if type(values[name]) is not kind:
                raise InvalidValue(f"{name} is {values[name]!r:.80}, expected a value of type {kind.__name__}")
        loss = values["loss"]
        if isinstance(loss, Mapping):
            # Those of before have no window of logged steps.
            loss = {"window_total": 0.0, "window_patches": 0, **loss}
        known = isinstance(loss, Mapping) and loss.keys() == _LOSS
        if not known or not all(type(value) in (int, float) for value in loss.values()):
            raise InvalidValue(f"loss is {loss!r:.80}, expected total and num_patches")
        kept = values["kept"]
        if not isinstance(kept, Mapping) or not all(
            isinstance(name, str) and type(score) is float and not math.isnan(score) for name, score in kept.items()
        ):
            raise InvalidValue(f"kept is {kept!r:.80}, expected scores by name of checkpoint")
        return cls(**{**values, "loss": dict(loss), "kept": dict(kept)})

    def check(self, num_epochs: int, num_steps: int) -> None:
        """Check that a run can be there.

        Args:
            num_epochs: epochs of the run.
            num_steps: steps of an epoch.

        Raises:
            InvalidValue: it cannot.
        """
        limits = {"epoch": num_epochs, "step": num_steps, "best_epoch": self.epoch, "lr_epoch": self.epoch}
        for name, most in limits.items():
            if not 0 <= getattr(self, name) <= most:
                raise InvalidValue(f"{name} is {getattr(self, name)}, expected 0 to {most}")
        if math.isnan(self.best_score):
            raise InvalidValue("best_score is not a number")
        if not 0 <= self.lr_factor <= 1:
            raise InvalidValue(f"lr_factor is {self.lr_factor}, expected 0 to 1")
        if not 0 <= self.seconds < math.inf:
            raise InvalidValue(f"seconds is {self.seconds}, expected 0 or more")
