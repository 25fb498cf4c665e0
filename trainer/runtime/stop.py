"""Reasons for a run to stop between two steps: a signal, or its time is up."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

from trainer.runtime.signals import handled


class Request(IntEnum):
    """Action that is requested after a step; the highest of all ranks counts."""

    NONE = 0
    SAVE = 1
    TIME_UP = 2
    SIGNAL = 3
    FAILED = 4


class Stop:
    """Collects what asks for a stop.

    Attributes:
        signalled: Ctrl-C, or the signal that job schedulers end a program with, has come.
    """

    def __init__(self, max_minutes: float | None, save_minutes: float) -> None:
        self.signalled = False
        self._save_seconds = 60 * save_minutes
        self._saved = time.monotonic()
        self._end = None if max_minutes is None else self._saved + 60 * max_minutes

    def request(self) -> Request:
        """Return what is to happen now, as this process sees it."""
        if self.signalled:
            return Request.SIGNAL
        now = time.monotonic()
        if self._end is not None and now >= self._end:
            return Request.TIME_UP
        return Request.SAVE if now - self._saved >= self._save_seconds else Request.NONE

    def saved(self) -> None:
        """Say that the state has just been saved."""
        self._saved = time.monotonic()

    @contextmanager
    def listen(self) -> Iterator[None]:
        """Let the first Ctrl-C or SIGTERM ask for a stop while the block runs; the second one ends it at once."""

        def handle() -> bool:
            is_first, self.signalled = not self.signalled, True
            return is_first

        with handled(handle):
            yield
