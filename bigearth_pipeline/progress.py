"""Interface by which long work on patches reports its progress; the application shows it to people."""

from typing import Protocol


class Progress(Protocol):
    """Receives the progress of a build, a check, a synthetic dataset or a benchmark."""

    def say(self, text: str) -> None:
        """Take a line for the user."""

    def start(self, total: int, done: int) -> None:
        """Take the number of patches of the work, and of those among them that an earlier run has done."""

    def advance(self, count: int) -> None:
        """Take a number of patches done; called from another thread."""


class Phases(Protocol):
    """Receives the progress of work in phases, each of which counts its own things."""

    def say(self, text: str) -> None:
        """Take a line for the user."""

    def begin(self, title: str, total: int, one: str, many: str | None = None) -> None:
        """Take the title of a phase, the number of things to do in it, and their noun; without `many` an s is added."""

    def advance(self, count: int) -> None:
        """Take a number of these things done."""


class Silent:
    """Reports to nobody."""

    def say(self, text: str) -> None:
        """Do nothing."""

    def start(self, total: int, done: int) -> None:
        """Do nothing."""

    def begin(self, title: str, total: int, one: str, many: str | None = None) -> None:
        """Do nothing."""

    def advance(self, count: int) -> None:
        """Do nothing."""
