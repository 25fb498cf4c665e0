"""Digital numbers that are higher than those that a network was trained on, without a word in its scores."""

import numpy as np
from numpy.typing import NDArray

from shards import Store
from shards.layout.facts import OFFSET_BASELINES
from shards.runtime.arrow import numpy_values
from shards.text.words import patches


def offset_note(store: Store, rows: NDArray[np.int64], trained_on: str | None = None) -> str | None:
    """Return a line for people about patches from which the offset of newer products was not subtracted.

    Args:
        store: of the patches.
        rows: (n,) of its index.
        trained_on: SHA-256 of the manifest of the shards that the network was trained on; None if nobody knows.

    Returns:
        None if there are none, or the network was trained on these shards.
    """
    if store.manifest.offset != "none" or (trained_on is not None and trained_on == store.manifest_sha256()):
        return None
    baselines = numpy_values(store.index.table["baseline"], null=0)[rows]
    count = int(np.count_nonzero((baselines >= OFFSET_BASELINES.start) & (baselines < OFFSET_BASELINES.stop)))
    if not count:
        return None
    return (
        f"digital numbers of {patches(count)} are 1000 higher than BigEarthNet's (baseline N0400 or later): the scores "
        "mean nothing unless the network was trained on such ones; a build with `offset=auto` subtracts that"
    )
