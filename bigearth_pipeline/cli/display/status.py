"""A line about what is done now: rewritten in place on a terminal, printed now and then elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import click

from bigearth_pipeline.cli.display.console import LineClock
from bigearth_pipeline.cli.output_options import is_quiet
from shards.reporting import printable

_CLEAR: Final = "\r\033[K"


@contextmanager
def status_line(subject: str) -> Iterator[Callable[[str], None]]:
    """Give a function that shows what is done now; on a terminal the line is gone after the block.

    Args:
        subject: begins each line.
    """
    line, subject, quiet = LineClock(), printable(subject), is_quiet()

    def say(text: str) -> None:
        if quiet:
            return
        if sys.stderr.isatty():
            click.echo(f"{_CLEAR}{subject}: {text}", nl=False, err=True)
        elif line.is_due():
            click.echo(f"{subject}: {text}", err=True)

    try:
        yield say
    finally:
        if sys.stderr.isatty() and not quiet:
            click.echo(_CLEAR, nl=False, err=True)
