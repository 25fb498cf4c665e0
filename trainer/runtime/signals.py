"""The signals that end a program: Ctrl-C, and SIGTERM of job schedulers."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def handled(handle: Callable[[], bool]) -> Iterator[None]:
    """Let SIGINT and SIGTERM call a function while the block runs; it has no effect outside of the main thread.

    Args:
        handle: returns whether it has dealt with the signal; else what handled it before does, or the signal raises
            KeyboardInterrupt.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def take(number: int, frame: FrameType | None) -> None:
        if handle():
            return
        earlier = before[signal.Signals(number)]
        if callable(earlier):
            earlier(number, frame)
        else:
            raise KeyboardInterrupt

    try:
        for number in before:
            signal.signal(number, take)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
