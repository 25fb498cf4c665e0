"""Passes that take turns: what is timed and what is counted, by a clock that only they move."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigearth_pipeline.bench.passes import MOST_TIMES, Lap, Pass, count_after_first, take_turns
from bigearth_pipeline.bench.rate import Rate


class Clock:
    """Seconds that pass when somebody says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return the seconds so far."""
        return self.now

    def batches(self, start: float, seconds: float, count: int) -> Pass:
        """Return a pass over batches of 10 patches that come `seconds` apart, the first one after `start` more."""

        def run(lap: Lap) -> int:
            self.now += start
            return count_after_first((self.batch(seconds) for _ in range(count)), count, lap)

        return run

    def batch(self, seconds: float) -> int:
        """Let a batch come."""
        self.now += seconds
        return 10


def test_passes_take_turns() -> None:
    """One side is measured while the machine is busy, the other while it is not; or warm-up counts."""
    clock, log = Clock(), list[tuple[str, int, bool]]()

    def run(name: str, lap: Lap) -> int:
        log.append((name, lap.number, lap.is_timed))
        return clock.batch(1.0 if lap.is_timed else 99.0)

    said: list[str] = []
    passes = {name: lambda lap, n=name: run(n, lap) for name in "ab"}
    rates = take_turns(passes, repeats=4, warm_up=2, say=said.append, clock=clock)
    assert sorted(said[:4]) == ["warm-up: a"] * 2 + ["warm-up: b"] * 2
    assert [sorted(said[i : i + 2]) for i in range(4, 12, 2)] == [
        [f"round {number} of 4: {name}" for name in "ab"] for number in range(1, 5)
    ]
    rounds = [sorted(log[i : i + 2]) for i in range(0, 12, 2)]
    assert rounds == [[("a", i, i >= 2), ("b", i, i >= 2)] for i in range(6)]
    assert rates["a"] == Rate((10.0,) * 4, (10,) * 4, (1,) * 4, (0.0,) * 4)


def test_what_comes_before_a_lap_is_not_timed() -> None:
    """A cold pass is slow because pages are dropped, not because they are read."""
    clock, begun = Clock(), list[float]()

    def before() -> None:
        begun.append(clock.now)
        clock.now += 50

    run = clock.batches(0, 10, 1)
    rates = take_turns({"a": run}, repeats=2, warm_up=1, least_seconds=30, before=before, clock=clock)
    assert rates["a"] == Rate((1.0, 1.0), (30, 30), (3, 3), (0.0, 0.0))
    # Every lap is cold, not only the first one of a pass.
    assert len(begun) == 7


@given(times=st.floats(0.01, 2), rate=st.floats(1, 1e6), count=st.integers(2, 60), laps=st.floats(0, 9))
def test_a_start_is_not_in_the_rate(times: float, rate: float, count: int, laps: float) -> None:
    """A loader that takes long to start looks slow, in short passes more than in long ones; or passes stay short."""
    clock, seconds = Clock(), 10 / rate
    lap = (count - 1) * seconds
    start = times * lap
    run = clock.batches(start, seconds, count)
    found = take_turns({"a": run}, repeats=1, warm_up=1, least_seconds=laps * lap, clock=clock)["a"]
    assert found.median == pytest.approx(rate, rel=1e-4)
    assert found.start == pytest.approx(start + seconds)
    assert found.patches == (found.laps[0] * (count - 1) * 10,)
    # Long enough, and not a lap longer; a slow machine gets one lap.
    assert max(1, laps - 1e-3) <= found.laps[0] <= max(1, laps + 1 + 1e-3)


def test_a_pass_ends_where_starts_take_all_the_time() -> None:
    """A small store is measured for an hour: a lap takes ten milliseconds, and its start a second."""
    clock = Clock()
    found = take_turns({"a": clock.batches(1, 0.005, 3)}, repeats=1, warm_up=1, least_seconds=2, clock=clock)["a"]
    assert found.laps == (MOST_TIMES * 2,)
    assert found.median == pytest.approx(2000)


def test_a_single_batch_is_timed_from_the_call() -> None:
    """The rate of a store that is as small as a batch is infinite, or a division by zero."""
    clock = Clock()
    rates = take_turns({"a": clock.batches(1.5, 0.5, 1)}, repeats=1, warm_up=0, clock=clock)
    assert rates["a"] == Rate((5.0,), (10,), (1,), (0.0,))


def test_shares_are_taken_pass_by_pass() -> None:
    """A share is distorted by the machine getting slower in between."""
    assert Rate((10.0, 1.0, 5.0)).share_of(Rate((20.0, 2.0, 10.0))) == 0.5
