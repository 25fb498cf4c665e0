"""Another length for a run that is resumed: more epochs or steps than it began with, or fewer."""

from dataclasses import dataclass

from shards.errors import InvalidValue
from trainer.config.options import TrainConfig
from trainer.runs.state import State


@dataclass(frozen=True, slots=True)
class Length:
    """Length of a run.

    Attributes:
        epochs: of the run.
        max_steps: steps that it ends after in any case; None for no limit.
    """

    epochs: int
    max_steps: int | None

    @classmethod
    def of(cls, config: TrainConfig) -> "Length":
        """Return that of a configuration."""
        return cls(config.optimisation.epochs, config.run.max_steps)

    @property
    def words(self) -> str:
        """Such as `10 epochs` or `10 epochs, at most 5,000 steps`."""
        epochs = f"{self.epochs:,} {'epoch' if self.epochs == 1 else 'epochs'}"
        if self.max_steps is None:
            return epochs
        return f"{epochs}, at most {self.max_steps:,} {'step' if self.max_steps == 1 else 'steps'}"


def extend(state: State, length: Length, steps_per_epoch: int) -> None:
    """Give a run another length; one that has ended may continue.

    The last epoch of a run that ended by `max_steps` was cut short; it is not made up for, since its batches were drawn
    for the run as it was.

    Args:
        state: of the run; receives whether it has ended.
        length: the new one.
        steps_per_epoch: of the run.

    Raises:
        InvalidValue: the run is beyond it.
    """
    under_way = state.epoch + (state.step > 0)
    if length.epochs < under_way:
        raise InvalidValue(f"`epochs={length.epochs}`, and the run is in epoch {under_way}: expected at least that")
    done = state.epoch * steps_per_epoch + state.step
    if length.max_steps is not None and length.max_steps < done:
        raise InvalidValue(f"`max_steps={length.max_steps:,}`, and the run has made {done:,}: expected at least that")
    state.ended = state.epoch == length.epochs or (length.max_steps is not None and done >= length.max_steps)
