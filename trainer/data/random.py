"""Random numbers as a pure function of (seed, epoch, purpose, row).

A patch therefore keeps its draws whatever the batch size, the subset, the number of ranks and of threads are.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

_GAMMA: Final = 0x9E3779B97F4A7C15
_MASK: Final = 2**64 - 1


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


def key(*parts: int) -> int:
    """Return 64 bits that depend on every part: a state for `splitmix64`.

    Args:
        parts: numbers from 0 to 2⁶⁴ − 2; the next one would leave the first state, 0, as it is.
    """
    state = 0
    for part in parts:
        state = int(splitmix64(state, np.array([part & _MASK], np.uint64))[0])
    return state


def bits(rows: NDArray[np.int64], *parts: int) -> NDArray[np.uint64]:
    """Return 64 random bits for each row, (n,) uint64; `parts` say what for: seed, epoch, purpose.

    Distinct rows have distinct bits, so sorting by them leaves no ties.
    """
    return splitmix64(key(*parts), rows.astype(np.uint64))


def uniform(rows: NDArray[np.int64], *parts: int) -> NDArray[np.float64]:
    """Return a number from 0 (included) to 1 (excluded) for each row, (n,) float64."""
    return (bits(rows, *parts) >> np.uint64(11)) * np.float64(2.0**-53)
