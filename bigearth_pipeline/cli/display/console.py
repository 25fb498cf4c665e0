"""The console of all commands: text from files never steers the terminal, tables are as wide as they need to be."""

import os
import textwrap
import time
from typing import Any, Final

import click
from rich.console import Console as RichConsole
from rich.console import RenderableType
from rich.text import Text

from bigearth_pipeline.cli.output_options import is_quiet, is_step, notes_stream
from shards.reporting import printable

LINE_SECONDS: Final = 10.0
"""Time between two lines of progress where the output is no terminal."""


class LineClock:
    """Tells when the next line of progress is due where the output is no terminal."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def is_due(self) -> bool:
        """Return whether the last line, or the start, is `LINE_SECONDS` ago; if so, start anew."""
        now = time.monotonic()
        if now - self._last < LINE_SECONDS:
            return False
        self._last = now
        return True


class Console(RichConsole):
    """A console without markup, on which text from files cannot steer the terminal."""

    def __init__(self, **settings: Any) -> None:
        """Take the settings of rich's console."""
        # Paths can hold brackets, which would be markup.
        super().__init__(highlight=False, markup=False, emoji=False, **settings)

    def render_str(self, text: str, **settings: Any) -> Text:
        """Return a text with its control characters as escapes; rich calls this for every string."""
        return super().render_str("\n".join(map(printable, text.split("\n"))), **settings)


def notes_console() -> Console:
    """Return the console for progress and notes: that of stderr; of a quiet command its log file's, or none."""
    if not is_quiet():
        return Console(stderr=True)
    stream = notes_stream()
    return Console(stderr=True, quiet=True) if stream is None else Console(file=stream)


def echo(text: str) -> None:
    """Print a line to stdout, control characters as escapes."""
    click.echo(printable(text))


def echo_words(text: str) -> None:
    """Print words to stdout in lines as wide as `output_width` says, 80 in a pipe; those after the first are indented.

    Words stay whole, so a line is wider where one of them, such as a path, is.
    """
    lines = textwrap.wrap(
        printable(text), output_width(80), subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
    click.echo("\n".join(lines))


def echo_next(*commands: str) -> None:
    """Print the commands that may come next, unless this one is a step of another or is to be quiet."""
    if not is_step() and not is_quiet():
        echo(f"next: {', '.join(commands)}")


def print_table(table: RenderableType, *, without_terminal: int = 160) -> None:
    """Print a table, or several, of rich to stdout, as wide as `output_width` says."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=output_width(without_terminal))
    console.print(table)


def output_width(without_terminal: int = 160) -> int:
    """Return how wide a table on stdout may be: the terminal, or `COLUMNS`, or a width where there is neither."""
    console = Console()
    return console.width if console.is_terminal or os.environ.get("COLUMNS", "").isdecimal() else without_terminal


def percent(value: float | None, *, absent: str = "absent") -> str:
    """Return a share as a percentage with one decimal, or what stands for None."""
    return absent if value is None else f"{100 * value:.1f}"
