"""What the trainer's commands write to a terminal: text from files never steers it."""

from typing import Any

import click
from rich.console import Console as RichConsole
from rich.text import Text

from shards.reporting import printable


class Console(RichConsole):
    """A console without markup, on which text from files cannot steer the terminal."""

    def __init__(self, **settings: Any) -> None:
        """Take the settings of rich's console."""
        super().__init__(highlight=False, markup=False, emoji=False, **settings)

    def render_str(self, text: str, **settings: Any) -> Text:
        """Return a text with its control characters as escapes; rich calls this for every string."""
        return super().render_str("\n".join(map(printable, text.split("\n"))), **settings)


def echo(text: str) -> None:
    """Print a line to stdout, control characters as escapes."""
    click.echo(printable(text))


def wide_console(width: int) -> Console:
    """Return a console on stdout; without a terminal tables are as wide as they need to be, `width` at least."""
    console = Console()
    return console if console.is_terminal else Console(width=max(console.width, width))
