"""Progress over bytes: a bar on a terminal, a line every ten seconds elsewhere."""

import time
from types import TracebackType
from typing import Any

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from bigearth_pipeline.cli.display.console import Console, LineClock


class ByteProgress:
    """Shows how many bytes of a file are there, at which rate they come, and the time left; on stderr."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._console = Console(stderr=True)
        self._bar: Progress | None = None
        self._task: Any = None
        self._started, self._line = time.monotonic(), LineClock()

    def __enter__(self) -> "ByteProgress":
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

    def advance(self, done: int, total: int, before: int) -> None:
        """Show bytes that are there, those of the file, and those that were there before this run."""
        if self._console.is_terminal:
            if self._bar is None:
                columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
                self._bar = Progress(TextColumn("{task.description}"), *columns, console=self._console)
                self._bar.start()
                self._task = self._bar.add_task(self._title, total=total, completed=before)
            self._bar.update(self._task, completed=done)
        elif self._line.is_due():
            rate = max(1.0, (done - before) / (time.monotonic() - self._started))
            self.say(
                f"{self._title}: {done / 1e9:,.2f} of {total / 1e9:,.2f} GB, {rate / 1e6:,.1f} MB/s, "
                f"{(total - done) / rate:,.0f} s left"
            )
