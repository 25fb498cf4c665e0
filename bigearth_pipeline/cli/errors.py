"""How commands end: one line for people and an exit status, a traceback for bugs."""

from collections.abc import Iterator
from contextlib import contextmanager

import click


@contextmanager
def reported(if_interrupted: str = "interrupted") -> Iterator[None]:
    """Turn errors for people into one line and exit status 1, and Ctrl-C into one line and 130.

    Anything else is a bug: it goes on as it is, with a line on how to report it.

    Args:
        if_interrupted: what to say on Ctrl-C.
    """
    from shards.reporting import bug_report, one_line

    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"\n{if_interrupted}", err=True)
        raise click.exceptions.Exit(130) from None
    except (click.exceptions.Exit, click.ClickException, BrokenPipeError):
        raise
    except Exception as err:
        line = one_line(err)
        if line is None:
            err.add_note(bug_report())
            raise
        raise click.ClickException(line) from err
