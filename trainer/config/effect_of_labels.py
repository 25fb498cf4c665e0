"""Options about classes that have no effect on the patches of a run: refused by name, if somebody gave them."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from shards.errors import InvalidValue
from shards.text.words import percentage
from trainer.config.given import Given
from trainer.config.options import TrainConfig
from trainer.data.subset.repeats import repeat_factors


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


def check_repeats(config: TrainConfig, given: Given, labels: NDArray[np.uint8]) -> None:
    """Check that some patches are repeated.

    Args:
        config: of a new run.
        given: options that somebody gave.
        labels: (n, C) of 0 and 1 of the training patches.

    Raises:
        InvalidValue: no epoch repeats one.
    """
    key, data = "data.repeat_threshold", config.data
    if key not in given or data.repeat_threshold is None:
        return
    patches, _ = repeat_factors(labels, data.repeat_threshold, data.ignore_labels, data.nomenclature)
    if (patches - 1).sum() >= 1:
        return
    written = given.setting(key, data.repeat_threshold)
    share = labels.mean(0)
    present = [i for i, name in enumerate(data.nomenclature.names) if share[i] and name not in data.ignore_labels]
    if not present:
        raise InvalidValue(f"{written} has no effect: no training patch has a class; leave it out")
    rarest = min(present, key=lambda i: float(share[i]))
    name, part = data.nomenclature.names[rarest], percentage(share[rarest], 2)
    what = f"the rarest class, {name}, is in {part} of the training patches"
    raise InvalidValue(
        f"{written} has no effect: {what}, too many for a further visit in an epoch; give more, or leave it out"
    )
