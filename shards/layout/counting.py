"""Counting the values of records in compiled code: in half the time of NumPy, which widens each value."""

import numpy as np
from numpy.typing import NDArray

from shards.runtime.compiled import compiled


@compiled
def count_values(records: NDArray[np.uint16], starts: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
    """Add the number of times that each value occurs in each band.

    Args:
        records: (records, values), contiguous.
        starts: (bands + 1,) first value of each band, and the end of the last.
        counts: (bands, 65536), added to.
    """
    for band in range(len(starts) - 1):
        of_band = counts[band]
        for number in range(len(records)):
            record = records[number]
            for i in range(starts[band], starts[band + 1]):
                of_band[record[i]] += 1
