"""Measurements that take turns, so that what else the machine does falls on all of them alike."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Rate:
    """Patches per second of repeated passes.

    Attributes:
        patches_per_second: by pass.
    """

    patches_per_second: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median of the passes."""
        return statistics.median(self.patches_per_second)

    @property
    def lowest(self) -> float:
        """The slowest pass."""
        return min(self.patches_per_second)

    @property
    def highest(self) -> float:
        """The fastest pass."""
        return max(self.patches_per_second)

    def share_of(self, other: "Rate") -> float:
        """Return this rate as a share of another: the median over the passes, for they took turns."""
        pairs = zip(self.patches_per_second, other.patches_per_second, strict=True)
        return statistics.median(own / theirs for own, theirs in pairs)

    def to_json(self) -> dict[str, Any]:
        """Return the rate as JSON values."""
        return asdict(self) | {"median": self.median, "lowest": self.lowest, "highest": self.highest}


def take_turns(
    passes: Mapping[str, Callable[[int], int]],
    *,
    repeats: int,
    warm_up: int,
    seed: int = 0,
    watch: Callable[[str], None] = lambda name: None,
    before: Callable[[], object] = lambda: None,
) -> dict[str, Rate]:
    """Time passes, each `repeats` times after `warm_up` untimed ones, in an order drawn anew in every round.

    Args:
        passes: by name; each takes the number of the round and returns how many patches it has handled.
        repeats: timed rounds.
        warm_up: rounds before these.
        seed: of the order.
        watch: is told what begins.
        before: is called before every pass, untimed.
    """
    rng = np.random.default_rng(seed)
    rates: dict[str, list[float]] = {name: [] for name in passes}
    for number in range(warm_up + repeats):
        for name in rng.permutation(list(passes)).tolist():
            watch(f"round {number + 1} of {warm_up + repeats}: {name}")
            before()
            start = time.perf_counter()
            count = passes[name](number)
            seconds = time.perf_counter() - start
            if number >= warm_up:
                rates[name].append(count / seconds)
    return {name: Rate(tuple(values)) for name, values in rates.items()}
