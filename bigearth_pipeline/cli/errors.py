"""How commands end: one line for a person and an exit status, never a traceback for wrong data."""

from collections.abc import Iterator
from contextlib import contextmanager

import click


@contextmanager
def reported(if_interrupted: str = "interrupted") -> Iterator[None]:
    """Turn errors of data and environment into one line and exit status 1, and Ctrl-C into one line and 130.

    Args:
        if_interrupted: what to say on Ctrl-C.
    """
    from bigearth_pipeline.errors import PipelineError
    from shards.errors import ShardError

    try:
        yield
    except (PipelineError, ShardError, ValueError) as err:
        raise click.ClickException(str(err)) from err
    except OSError as err:
        where = f"{err.filename}: " if err.filename else ""
        raise click.ClickException(f"{where}{err.strerror or err}") from err
    except KeyboardInterrupt:
        click.echo(f"\n{if_interrupted}", err=True)
        raise click.exceptions.Exit(130) from None
