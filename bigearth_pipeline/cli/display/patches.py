"""Progress over patches: a bar on a terminal, a line every ten seconds elsewhere."""

import threading
import time

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column

from bigearth_pipeline.cli.display.bar import BarDisplay
from bigearth_pipeline.cli.display.console import LineClock
from shards.text import words


class PatchProgress(BarDisplay):
    """Shows how many patches are done, at which rate, and the time left; on stderr, for stdout is for results.

    It is a `bigearth_pipeline.progress.Progress`.
    """

    def __init__(self, title: str) -> None:
        super().__init__()
        self._title = title
        self._lock = threading.Lock()
        self._total = self._done = self._first = 0

    def start(self, total: int, done: int) -> None:
        """Show the bar for `total` patches, of which `done` were there before."""
        self._total, self._done, self._first = total, done, done
        self._started, self._line = time.monotonic(), LineClock()
        if done:
            self.say(f"resuming: {done:,} of {words.patches(total)} are there")
        if not self._console.is_terminal:
            return
        if self._bar is None:
            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                # On a narrow terminal the bar alone gets shorter.
                MofNCompleteColumn(table_column=Column(no_wrap=True)),
                TextColumn("{task.fields[rate]} patches/s", style="progress.data.speed"),
                TimeRemainingColumn(elapsed_when_finished=True, table_column=Column(no_wrap=True)),
                console=self._console,
                speed_estimate_period=10,
            )
            self._bar.start()
            self._task = self._bar.add_task(self._title, total=total, completed=done, rate="–")
        else:
            self._bar.reset(self._task, total=total, completed=done, rate="–")

    def advance(self, count: int) -> None:
        """Count patches done; any thread may call."""
        if not self._total:
            return  # Work before the first patch.
        with self._lock:
            self._done += count
            if self._bar is not None:
                self._bar.update(self._task, advance=count, rate=words.rate(self._rate()))
            elif not self._console.is_terminal and self._line.is_due():
                rate = self._rate()
                left = f", {words.duration((self._total - self._done) / rate)} left" if rate else ""
                self.say(
                    f"{self._title}: {self._done:,} of {words.patches(self._total)}, {words.rate(rate)} patches/s{left}"
                )

    def _rate(self) -> float:
        """Return the patches per second since the start, which those that were there before do not count to."""
        return (self._done - self._first) / max(time.monotonic() - self._started, 1e-3)
