"""The base of the displays of progress: a bar on a terminal, lines every ten seconds elsewhere, on stderr."""

import time
from types import TracebackType
from typing import Any, Self

from rich.progress import Progress

from bigearth_pipeline.cli.display.console import Console, LineClock, notes_console
from bigearth_pipeline.cli.errors import with_flags


class BarDisplay:
    """A console with a bar that a subclass starts; a context manager that stops it. Stdout is for results."""

    def __init__(self, console: Console | None = None) -> None:
        """Take a console; None for that of stderr."""
        self._console = console or notes_console()
        self._bar: Progress | None = None
        self._task: Any = None
        self._started, self._line = time.monotonic(), LineClock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(with_flags(text), soft_wrap=True)
