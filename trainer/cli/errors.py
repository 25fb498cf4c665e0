"""How the trainer's commands end when something is wrong: one line and an exit status, never a traceback."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import click


@contextmanager
def reported() -> Iterator[None]:
    """Turn errors of data, arguments and environment into one line and exit status 1, and Ctrl-C into one and 130."""
    from shards import ShardError
    from trainer.errors import TrainError

    # Of several processes of a run each may fail for a reason of its own.
    rank = os.environ.get("RANK")
    prefix = "" if rank is None else f"[rank {rank}] "
    try:
        yield
    except (ShardError, TrainError, ValueError) as err:
        raise click.ClickException(f"{prefix}{err}") from err
    except OSError as err:
        if err.filename is None:
            raise
        raise click.ClickException(f"{prefix}{err.filename}: {err.strerror}") from err
    except KeyboardInterrupt:
        click.echo("\ninterrupted", err=True)
        raise click.exceptions.Exit(130) from None
