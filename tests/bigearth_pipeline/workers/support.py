"""Tasks, limits and a clock for tests of workers."""

import time
from collections.abc import Callable
from contextlib import suppress

import psutil

from bigearth_pipeline.workers import Limits

QUICK = Limits(answer_seconds=2, notice_seconds=1, stall_seconds=3)
# On a machine whose cores are busy an honest worker takes seconds to answer.
PATIENT = Limits(answer_seconds=60, notice_seconds=30, stall_seconds=120)
# The same with a look at the clock every second; for tests in which it is put forward.
WATCHFUL = Limits(answer_seconds=60, notice_seconds=1, stall_seconds=120)


def report(item: int, factor: int, progress: Callable[[int], None]) -> int:
    progress(item)
    return factor * item


def dawdle(item: int, seconds: float, progress: Callable[[int], None]) -> int:
    progress(1)
    time.sleep(seconds)
    return item


class Clock:
    """A clock that tests put forward.

    Attributes:
        ahead: seconds that it is ahead of the system's.
        step: seconds that it is put forward by each look at it.
    """

    ahead = step = 0.0

    def monotonic(self) -> float:
        """Return the time in seconds."""
        self.ahead += self.step
        return time.monotonic() + self.ahead


def workers_of_this_process() -> set[psutil.Process]:
    """Return the workers that this process has started: those that listen."""
    found = set()
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if child.net_connections("tcp"):
                found.add(child)
    return found
