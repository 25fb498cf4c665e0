"""How commands end: one line for people and an exit status, a traceback for bugs."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import click

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def reported(if_interrupted: str = "interrupted") -> Iterator[None]:
    """Turn errors for people into one line and exit status 1, and signals into one line and 128 + their number.

    Anything else is a bug: it goes on as it is, with a line on how to report it.

    Args:
        if_interrupted: what to say on Ctrl-C, and when the program is told to end (SIGTERM, SIGHUP).
    """
    from shards.reporting import bug_report, one_line

    try:
        with _signals_raised():
            yield
    except KeyboardInterrupt as err:
        # Ctrl-C that came in the middle of an import has no number.
        number = err.args[0] if err.args and isinstance(err.args[0], int) else signal.SIGINT
        click.echo(f"\n{if_interrupted}", err=True)
        raise click.exceptions.Exit(128 + number) from None
    except (click.exceptions.Exit, click.ClickException):
        raise
    except Exception as err:
        line = one_line(err)
        if line is None:
            err.add_note(bug_report())
            raise
        raise click.ClickException(line) from err


@contextmanager
def _signals_raised() -> Iterator[None]:
    """Let the first signal that is to end the program raise KeyboardInterrupt with its number, and ignore others.

    What follows the first is bounded in time and leaves nothing behind, as long as it is not cut off; SIGKILL ends it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    came: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        if not came:
            came.append(number)
            raise KeyboardInterrupt(number)

    # One that is ignored, as by nohup, stays so.
    before = {each: old for each in _SIGNALS if (old := signal.getsignal(each)) != signal.SIG_IGN}
    try:
        for each in before:
            signal.signal(each, end)
        yield
    finally:
        for each, old in before.items():
            # What is left to do after a signal is to exit with its number.
            signal.signal(each, signal.SIG_IGN if came else old)
