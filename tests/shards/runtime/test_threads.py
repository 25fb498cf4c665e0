"""Work shared among threads."""

import gc
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import closing

import pytest

from shards.runtime.threads import Threads


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("num_items", [0, 1, 4, 1000])
def test_each_item_is_taken_once(count: int, num_items: int) -> None:
    """A record of a batch is left out, or decoded twice."""
    done: list[int] = []

    def work(rest: Iterator[int]) -> None:
        for item in rest:
            done.append(item)  # noqa: PERF402  One at a time, as a decoder does.

    with closing(Threads(count, "test")) as threads:
        for _ in range(2):
            done.clear()
            threads.run(work, range(num_items))
            assert sorted(done) == list(range(num_items))


def test_an_error_is_raised_when_nobody_works_any_more() -> None:
    """A batch is given up while a thread still writes into its memory."""
    working = threading.Semaphore(0)
    finished: list[int] = []

    def work(rest: Iterator[int]) -> None:
        if next(rest) == 0:
            working.acquire()
            raise OSError("broken")
        working.release()
        time.sleep(0.1)
        finished.append(1)

    with closing(Threads(2, "test")) as threads:
        with pytest.raises(OSError, match="broken"):
            threads.run(work, range(9))
        assert finished == [1]
        threads.run(lambda rest: finished.extend(rest), [2, 3])
        assert sorted(finished) == [1, 2, 3]


def test_an_error_keeps_nothing_alive() -> None:
    """Memory of a store in which a read failed is not given back when it is closed."""

    class Memory:
        pass

    def fail() -> weakref.ref[Memory]:
        memory = Memory()

        def work(rest: Iterator[int], memory: Memory = memory) -> None:
            raise OSError("broken")

        with closing(Threads(2, "test")) as threads, pytest.raises(OSError, match="broken"):
            threads.run(work, range(4))
        return weakref.ref(memory)

    gc.disable()
    try:
        assert fail()() is None
    finally:
        gc.enable()


def test_no_threads_are_refused() -> None:
    """Work waits for ever."""
    with pytest.raises(ValueError, match="at least 1"):
        Threads(0, "test")
