"""Progress over bytes: a bar on a terminal, a line every ten seconds elsewhere."""

import time

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from bigearth_pipeline.cli.display.bar import BarDisplay
from shards.text.words import duration


class ByteProgress(BarDisplay):
    """Shows how many bytes of a file are there, at which rate they come, and the time left; on stderr."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self._title = title

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
                f"{duration((total - done) / rate)} left"
            )
