"""A watch over the evaluation of a condition: what takes too long, or too much memory, is interrupted."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

from trainer.data.subset.where_limits import MEMORY, SECONDS, WATCH_SECONDS


class Watch:
    """Watch that interrupts an evaluation above a limit and keeps the reason; memory is the process's resident memory.

    DuckDB's own limit counts neither vectors nor the text in them.
    """

    def __init__(self, interrupt: Callable[[], None]) -> None:
        self.excess: str | None = None
        self._interrupt = interrupt
        self._ended = threading.Event()
        self._process = psutil.Process()

    def run(self) -> None:
        """Interrupt what exceeds a limit, until `end` is called."""
        started, before = time.monotonic(), self._process.memory_info().rss
        while not self._ended.wait(WATCH_SECONDS):
            if self.excess is None:
                if time.monotonic() - started > SECONDS:
                    self.excess = f"{SECONDS:g} s"
                elif self._process.memory_info().rss - before > MEMORY:
                    self.excess = f"{MEMORY / 1e9:g} GB of memory"
            if self.excess is not None:
                # Again and again, since one that comes between two statements is lost.
                self._interrupt()

    def end(self) -> None:
        """Let `run` return."""
        self._ended.set()


@contextmanager
def watched(interrupt: Callable[[], None]) -> Iterator[Watch]:
    """Watch what is done meanwhile, in a thread that calls `interrupt` if it exceeds a limit."""
    watch = Watch(interrupt)
    thread = threading.Thread(target=watch.run, daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        watch.end()
        thread.join()
