"""Signals that end the program (Ctrl-C, SIGTERM, SIGHUP): the first one alone decides how it ends."""

import _thread
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_AGAIN_SECONDS: Final = 0.02


class Interrupted(KeyboardInterrupt):
    """A signal has come.

    A class of its own, for CPython remembers a KeyboardInterrupt that leaves code which `exec` was given as text, as
    dataclasses and namedtuple do, and ends the process by SIGINT even where it was caught.
    """


class Ending:
    """Turns the first of these signals into `Interrupted`, and ignores all others.

    Of two that come during one call into a library, Python takes that of the lower number for the first.

    What follows the first is bounded in time and leaves nothing behind, as long as it is not cut off; SIGKILL ends it.
    A signal that was ignored before, as by nohup, stays so. Python drops what is raised while it collects garbage or
    finalizes an object: a signal that comes in such a moment is sent again.

    Attributes:
        came: number of the first signal; None as long as none has come.
    """

    def __init__(self) -> None:
        self.came: int | None = None
        self._num_holds, self._waiting = 0, 0
        self._before: dict[signal.Signals, Any] = {}
        self._hook: Callable[[sys.UnraisableHookArgs], object] = sys.unraisablehook

    @property
    def status(self) -> int:
        """Exit status of a program that was interrupted."""
        # KeyboardInterrupt that no signal has raised has no number.
        return 128 + (self.came or signal.SIGINT)

    @property
    def is_listening(self) -> bool:
        """True if the signals are handled here."""
        return bool(self._before)

    def listen(self) -> None:
        """Handle the signals from now on. Only the main thread can."""
        for each in _SIGNALS:
            if (before := signal.getsignal(each)) != signal.SIG_IGN:
                self._before[each] = before
                signal.signal(each, self._raise)
        self._hook, sys.unraisablehook = sys.unraisablehook, self._again

    def finish(self, status: int) -> None:
        """Let nothing but the end of the interpreter follow: further signals are ignored, or end it at once.

        Args:
            status: of the program; where no signal has come, the next one ends it with this status.
        """
        for each in self._before:
            signal.signal(each, signal.SIG_IGN if self.came else lambda *_: os._exit(status))

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Handle the signals while the block runs, where nothing does yet; once one has come, ignore them for good."""
        if self.is_listening or threading.current_thread() is not threading.main_thread():
            yield
            return
        try:
            self.listen()
            yield
        finally:
            # What is left to do after a signal is to exit with its number.
            for each, before in self._before.items():
                signal.signal(each, signal.SIG_IGN if self.came else before)
            sys.unraisablehook = self._hook

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let signals wait while the block runs; the first that has come is raised at its end.

        To block them is not enough, for another thread may receive them; Python handles all in the main thread.
        """
        self._num_holds += 1
        try:
            yield
        finally:
            self._num_holds -= 1
            if self._waiting and not self._num_holds:
                self._raise(self._waiting, None)

    def _raise(self, number: int, frame: FrameType | None) -> None:
        if self.came is not None:
            return
        if self._num_holds:
            self._waiting = self._waiting or number
            return
        self.came = number
        raise Interrupted

    def _again(self, dropped: "sys.UnraisableHookArgs") -> None:
        """Send a signal again whose exception was dropped; another thread does, since here it would be dropped, too."""
        number = self.came
        if dropped.exc_type is not Interrupted or number is None:
            self._hook(dropped)
            return
        self.came = None
        # Not by `threading`, one of whose locks the interrupted code may hold.
        _thread.start_new_thread(_send_later, (number,))


def _send_later(number: int) -> None:
    time.sleep(_AGAIN_SECONDS)
    os.kill(os.getpid(), number)


PROGRAM: Final = Ending()
"""Of the program `bep`, which listens from its first instruction on; of a call in another program it never does."""


def current() -> Ending:
    """Return what handles the signals of this call: that of the program, else a new one."""
    return PROGRAM if PROGRAM.is_listening else Ending()
