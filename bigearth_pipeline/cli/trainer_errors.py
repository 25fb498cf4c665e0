"""How the trainer's commands end when something is wrong: one line for people, a traceback for bugs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import click


@contextmanager
def reported() -> Iterator[None]:
    """Turn errors for people into one line and exit status 1, and Ctrl-C into one and 130.

    Anything else is a bug: it goes on as it is, with a line on how to report it.
    """
    from shards.reporting import bug_report, one_line

    # Of several processes of a run each may fail for a reason of its own.
    rank = os.environ.get("RANK")
    prefix = "" if rank is None else f"[rank {rank}] "
    try:
        yield
    except KeyboardInterrupt:
        click.echo("\ninterrupted", err=True)
        raise click.exceptions.Exit(130) from None
    except (click.exceptions.Exit, click.ClickException):
        raise
    except Exception as err:
        line = one_line(err)
        if line is None:
            err.add_note(bug_report())
            raise
        raise click.ClickException(f"{prefix}{line}") from err
