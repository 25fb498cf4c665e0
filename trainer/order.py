"""In which order an epoch visits the patches, and which of them it flips: pure functions of (seed, epoch, rows).

Every draw is a hash of (seed, epoch, purpose, row). A patch therefore keeps its draws whatever the batch size, the
subset and the number of threads are, and the order of a subset is the order of the whole with the others left out.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

_GAMMA: Final = 0x9E3779B97F4A7C15
_MASK: Final = 2**64 - 1

# Draws for different purposes must not be correlated, so each has a number in the key.
_ORDER: Final = 0
_FLIP: Final = 1


def splitmix64(state: int, steps: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the outputs number `steps` (0 is the first) of the generator SplitMix64 started at `state`.

    Distinct steps give distinct outputs, because every operation is a bijection of 64-bit integers.
    Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (OOPSLA 2014), with the constants of
    Vigna's public-domain `splitmix64.c`.
    """
    z = np.uint64(state & _MASK) + (steps + np.uint64(1)) * np.uint64(_GAMMA)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _draws(rows: NDArray[np.int64], seed: int, epoch: int, purpose: int) -> NDArray[np.uint64]:
    state = 0
    for part in (seed, epoch, purpose):
        state = int(splitmix64(state, np.array([part & _MASK], np.uint64))[0])
    return splitmix64(state, rows.astype(np.uint64))


def epoch_order(rows: NDArray[np.int64], seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the rows in the order in which an epoch visits them.

    Args:
        rows: (n,) distinct rows of an index, in any order.
        seed: seed of the run.
        epoch: number of the epoch, from 0.

    Returns:
        (n,) int64, a permutation of `rows`. Distinct rows have distinct draws, so sorting by them leaves no ties.
    """
    return rows[np.argsort(_draws(rows, seed, epoch, _ORDER))]


def flip_draws(rows: NDArray[np.int64], seed: int, epoch: int) -> NDArray[np.uint8]:
    """Return which patches to flip: (n, 2) uint8 of 0 and 1, for left-right and for up-down."""
    draws = _draws(rows, seed, epoch, _FLIP)
    # The two highest bits.
    return (draws[:, None] >> np.array([63, 62], np.uint64) & np.uint64(1)).astype(np.uint8)


def split_batches(rows: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int64]]:
    """Cut rows into batches; only the last one may be smaller."""
    return [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
