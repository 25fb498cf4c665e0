"""What commands print while they work: a bar on a terminal, a line now and then elsewhere."""

import threading
import time
from types import TracebackType
from typing import Any, Final

import click
from rich.console import Console as RichConsole
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from shards.reporting import printable

_LINE_EVERY: Final = 10.0  # seconds


class Console(RichConsole):
    """A console without markup, on which text from files cannot steer the terminal."""

    def __init__(self, **settings: Any) -> None:
        """Take the settings of rich's console."""
        # Paths can hold brackets, which would be markup.
        super().__init__(highlight=False, markup=False, emoji=False, **settings)

    def render_str(self, text: str, **settings: Any) -> Text:
        """Return a text with its control characters as escapes; rich calls this for every string."""
        return super().render_str("\n".join(map(printable, text.split("\n"))), **settings)


def echo(text: str) -> None:
    """Print a line to stdout, control characters as escapes."""
    click.echo(printable(text))


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f} patches/s" if speed else "– patches/s", style="progress.data.speed")


class PatchProgress:
    """Shows how many patches are done, how fast, and how long it takes; to stderr, so that stdout stays for results.

    It is a `bigearth_pipeline.build.run.Watcher`.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._console = Console(stderr=True)
        self._bar: Progress | None = None
        self._task: Any = None
        self._lock = threading.Lock()
        self._total = self._done = self._first = 0
        self._started = self._printed = 0.0

    def __enter__(self) -> "PatchProgress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, soft_wrap=True)

    def start(self, total: int, done: int) -> None:
        """Show the bar for `total` patches, of which `done` were there before."""
        self._total, self._done, self._first = total, done, done
        self._started = self._printed = time.monotonic()
        if done:
            self.say(f"resuming: {done:,} of {total:,} patches are there")
        if not self._console.is_terminal:
            return
        if self._bar is None:
            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                _RateColumn(),
                TimeRemainingColumn(elapsed_when_finished=True),
                console=self._console,
                speed_estimate_period=10,
            )
            self._bar.start()
            self._task = self._bar.add_task(self._title, total=total, completed=done)
        else:
            self._bar.reset(self._task, total=total, completed=done)

    def advance(self, count: int) -> None:
        """Count patches done; any thread may call."""
        if not self._total:
            return  # Work before the first patch.
        with self._lock:
            self._done += count
            if self._bar is not None:
                self._bar.advance(self._task, count)
            elif not self._console.is_terminal and time.monotonic() - self._printed >= _LINE_EVERY:
                self._printed = time.monotonic()
                rate = (self._done - self._first) / (self._printed - self._started)
                left = f", {(self._total - self._done) / rate:,.0f} s left" if rate else ""
                self.say(f"{self._title}: {self._done:,} of {self._total:,} patches, {rate:,.0f} patches/s{left}")


def print_table(table: Table) -> None:
    """Print a table to stdout; without a terminal it is as wide as it needs to be."""
    width = None if (console := Console()).is_terminal else max(console.width, 160)
    Console(width=width).print(table)


def human_bytes(size: float) -> str:
    """Return a size in decimal units, such as `1.23 GB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.2f} TB"
