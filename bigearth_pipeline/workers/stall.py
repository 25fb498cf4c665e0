"""Noticing that nothing moves: a line after a while, an error in the end."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from bigearth_pipeline.errors import PipelineError


@dataclass(frozen=True)
class Limits:
    """Times to wait.

    Attributes:
        answer_seconds: for a scheduler to answer, and then for its workers to describe themselves.
        notice_seconds: without movement until a line says so; then twice as long until the next.
        stall_seconds: without movement until the command ends. Dask gives the tasks of a worker that it has not heard
            of for five minutes to others, and a disk of the network may well be away for minutes.
    """

    answer_seconds: float = 30.0
    notice_seconds: float = 30.0
    stall_seconds: float = 600.0

    @classmethod
    def of_minutes(cls, stall_minutes: float) -> "Limits":
        """Return the usual limits, but for the time without movement after which the command ends."""
        seconds = 60 * stall_minutes
        return cls(min(cls.answer_seconds, seconds), min(cls.notice_seconds, seconds / 2), seconds)

    def __post_init__(self) -> None:
        if not min(self.answer_seconds, self.notice_seconds, self.stall_seconds) > 0:
            raise PipelineError(f"expected times above 0, got {self}")


class Watch:
    """Measures how long nothing has moved."""

    def __init__(self, limits: Limits, say: Callable[[str], None], what: str) -> None:
        """Start now.

        Args:
            limits: when to speak up.
            say: receives lines for the user.
            what: has not moved, such as `no patch done`.
        """
        self._limits = limits
        self._say = say
        self._what = what
        self.moved()

    def moved(self) -> None:
        """Start again; any thread may call."""
        self._since = time.monotonic()
        self._next_notice = self._limits.notice_seconds

    def check(self, describe: Callable[[], str]) -> None:
        """Speak up if nothing has moved for long.

        Args:
            describe: returns what is known of the cause; called only if there is something to say.

        Raises:
            PipelineError: nothing has moved for `stall_seconds`.
        """
        idle = time.monotonic() - self._since
        if idle >= self._limits.stall_seconds:
            raise PipelineError(
                f"{self._what} for {idle:.0f} s; {describe()}; mend the cause and run the command again, or wait "
                "longer with `stall_minutes=`"
            )
        if idle >= self._next_notice:
            self._next_notice *= 2
            self._say(
                f"{self._what} for {idle:.0f} s; {describe()} (the command ends after "
                f"{self._limits.stall_seconds:.0f} s, see `stall_minutes=`)"
            )
