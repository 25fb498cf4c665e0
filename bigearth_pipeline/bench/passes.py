"""Measurements that take turns, so that what else the machine does falls on all of them alike."""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias

import numpy as np

from bigearth_pipeline.bench.rate import Rate

LEAST_SECONDS: Final = 2.0
"""A timed pass repeats its lap until it has been timed for this long: the rate of a shorter one is mostly chance."""

MOST_TIMES: Final = 5
"""A pass ends when it has taken this many times its least seconds, with the starts and pauses between its laps."""


class Lap:
    """One run of a pass through its patches.

    Attributes:
        number: of the laps of this pass, from 0: seeds orders.
        is_timed: whether its figures count; those of a warm-up do not.
    """

    def __init__(
        self, number: int = 0, *, is_timed: bool = True, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """Start the clock.

        Args:
            number: of the lap.
            is_timed: whether its figures count.
            clock: seconds.
        """
        self.number, self.is_timed, self._clock = number, is_timed, clock
        self._called = self._begun = clock()

    def begin(self) -> None:
        """Start the clock anew: the first batch is there. What came before is the start, which is reported apart.

        Threads start and channels are filled before the first batch, once an epoch. In a short lap that would weigh
        many times what it weighs in a long epoch.
        """
        self._begun = self._clock()

    @property
    def start_seconds(self) -> float:
        """Seconds until the first batch was there."""
        return self._begun - self._called

    @property
    def seconds(self) -> float:
        """Seconds since then."""
        return self._clock() - self._begun


Pass: TypeAlias = Callable[[Lap], int]
"""Handles patches and returns how many it has handled since the lap began."""


def count_after_first(counts: Iterable[int], num_batches: int, lap: Lap) -> int:
    """Return the number of patches in all batches but the first, with which the lap begins.

    A lap of a single batch has nothing after it, so that one is counted, and timed from the call.

    Args:
        counts: patches of each batch, as it comes.
        num_batches: that will come.
        lap: under way.
    """
    total = 0
    for number, count in enumerate(counts):
        if number == 0 and num_batches > 1:
            lap.begin()
        else:
            total += count
    return total


def take_turns(
    passes: Mapping[str, Pass],
    *,
    repeats: int,
    warm_up: int,
    least_seconds: float = 0.0,
    seed: int = 0,
    say: Callable[[str], None] = lambda name: None,
    before: Callable[[], object] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Rate]:
    """Time passes, each `repeats` times after `warm_up` untimed ones, in an order drawn anew in every round.

    Args:
        passes: by name.
        repeats: timed rounds.
        warm_up: rounds before these, of one lap each.
        least_seconds: timed seconds until which a timed pass repeats its lap; 0 for one lap. Where starts take most of
            the time, it ends at `MOST_TIMES` as many seconds in all.
        seed: of the order.
        say: receives what begins.
        before: is called before every lap, untimed.
        clock: seconds.
    """
    rng = np.random.default_rng(seed)
    laps = dict.fromkeys(passes, 0)
    found: dict[str, list[tuple[float, int, int, float]]] = {name: [] for name in passes}
    for number in range(warm_up + repeats):
        is_timed = number >= warm_up
        for name in rng.permutation(list(passes)).tolist():
            say(f"round {number - warm_up + 1} of {repeats}: {name}" if is_timed else f"warm-up: {name}")
            patches, seconds, starts = 0, 0.0, list[float]()
            latest = clock() + MOST_TIMES * least_seconds
            while not starts or (is_timed and seconds < least_seconds and clock() < latest):
                before()
                lap = Lap(laps[name], is_timed=is_timed, clock=clock)
                patches += passes[name](lap)
                seconds += lap.seconds
                starts.append(lap.start_seconds)
                laps[name] += 1
            if is_timed:
                found[name].append((patches / seconds, patches, len(starts), statistics.fmean(starts)))
    return {name: Rate(*zip(*values, strict=True)) for name, values in found.items()}
