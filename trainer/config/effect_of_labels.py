"""Classes to ignore that a run would ignore in any case: refused by name, if somebody gave them."""

from collections.abc import Mapping

from shards.errors import InvalidValue
from trainer.config.given import Given
from trainer.config.options import TrainConfig


def check_ignored(config: TrainConfig, given: Given, counts: Mapping[str, int]) -> None:
    """Check that each ignored class is one of the patches.

    Args:
        config: of a new run.
        given: options that somebody gave.
        counts: patches of each class in all splits that the run uses.

    Raises:
        InvalidValue: a class that was given has no patch.
    """
    if "data.ignore_labels" not in given:
        return
    for name in config.data.ignore_labels:
        if not counts[name]:
            raise InvalidValue(
                f"{given.name('data.ignore_labels')} has no effect for {name}: no patch has it; leave it out"
            )
