"""The classes of a run: which are ignored, and which are rare."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from trainer.config.effect_of_labels import check_ignored, check_repeats
from trainer.config.given import Given
from trainer.config.options import TrainConfig
from trainer.data.order import num_visits
from trainer.data.subset.repeats import repeat_factors
from trainer.runtime.progress import Progress


def use_labels(
    config: TrainConfig,
    given: Given,
    labels: NDArray[np.uint8],
    rows: Mapping[str, NDArray[np.int64]],
    progress: Progress,
) -> NDArray[np.float64] | None:
    """Return how often each training patch is visited in an epoch, in the mean, (n,); None if each is visited once.

    Args:
        config: of the run.
        given: options that somebody gave; none for a run that is resumed.
        labels: (patches of the store, C) of 0 and 1.
        rows: of the patches that the run selects, by split.
        progress: receives lines about ignored and rare classes.

    Raises:
        InvalidValue: an option that was given has no effect on these patches.
    """
    data, classes = config.data, config.data.nomenclature.names
    names = [name for name in classes if name in data.ignore_labels]
    splits = ("train", *(("validation",) * data.validation), *(("test",) * config.run.test))
    counts = labels[np.concatenate([rows[split] for split in splits])].sum(0, dtype=np.int64)
    check_ignored(config, given, dict(zip(classes, counts.tolist(), strict=True)))
    if names:
        progress.say(f"neither trained nor measured: {'; '.join(names)}")
    if data.repeat_threshold is None:
        return None
    trained = labels[rows["train"]]
    check_repeats(config, given, trained)
    repeats, by_class = repeat_factors(trained, data.repeat_threshold, data.ignore_labels, data.nomenclature)
    most = int(by_class.argmax())
    visits = num_visits(len(repeats), repeats)
    progress.say(
        f"repeats: {visits:,} patches in each epoch in place of {len(repeats):,}; those with {classes[most]} come "
        f"{by_class[most]:.2f} times in the mean"
    )
    return repeats
