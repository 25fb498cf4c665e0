"""Progress over phases that count different things: a bar a phase on a terminal, lines elsewhere."""

import time
from typing import Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from bigearth_pipeline.cli.display.bar import BarDisplay
from bigearth_pipeline.cli.display.console import Console, LineClock
from shards.text.words import counted, duration


class PhaseProgress(BarDisplay):
    """Shows which phase is under way, how far it is, and the time left in it; on stderr, for stdout is for results.

    It is a `bigearth_pipeline.progress.Phases`. Where the output is no terminal, a phase has a line when it begins, and
    one every ten seconds.
    """

    def __init__(self, console: Console | None = None) -> None:
        """Take a console; None for that of stderr."""
        super().__init__(console)
        self._title = ""
        self._total = self._done = 0
        self._words = ("", "")

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TextColumn("{task.fields[noun]}"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
            )
            self._bar.start()
        return self

    def begin(self, title: str, total: int, one: str, many: str | None = None) -> None:
        """Show the bar of a phase, or a line that it begins."""
        self._title, self._total, self._done = title, total, 0
        self._words = (one, many or f"{one}s")
        self._started, self._line = time.monotonic(), LineClock()
        if self._bar is None:
            self.say(f"{title}: 0 of {counted(total, *self._words)}")
            return
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(title, total=total, noun=self._words[total != 1])

    def advance(self, count: int) -> None:
        """Move the bar, or print a line if one is due."""
        self._done += count
        if self._bar is not None:
            if self._task is not None:
                self._bar.advance(self._task, count)
        elif self._done < self._total and self._line.is_due():
            rate = self._done / (time.monotonic() - self._started)
            left = f", {duration((self._total - self._done) / rate)} left" if rate else ""
            self.say(f"{self._title}: {self._done:,} of {counted(self._total, *self._words)}{left}")
