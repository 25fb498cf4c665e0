"""A line about what is done now: rewritten in place on a terminal, printed now and then elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import click

from bigearth_pipeline.cli.display.console import LineClock
from bigearth_pipeline.cli.output_options import notes_stream
from shards.reporting import printable

_CLEAR: Final = "\r\033[K"


@contextmanager
def status_line(subject: str) -> Iterator[Callable[[str], None]]:
    """Give a function that shows what is done now; on a terminal the line is gone after the block.

    Args:
        subject: begins each line.
    """
    line, subject, stream = LineClock(), printable(subject), notes_stream()

    def say(text: str) -> None:
        if stream is None:
            return
        if stream.isatty():
            click.echo(f"{_CLEAR}{subject}: {text}", nl=False, file=stream)
        elif line.is_due():
            click.echo(f"{subject}: {text}", file=stream)

    try:
        yield say
    finally:
        if stream is not None and stream.isatty():
            click.echo(_CLEAR, nl=False, file=stream)
