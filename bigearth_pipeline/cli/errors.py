"""Endings of commands: one line for people and an exit status, a traceback for bugs."""

import errno
import os
import re
import shlex
import signal
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Final

import click

from bigearth_pipeline.cli.display.streams import guarded
from bigearth_pipeline.cli.lazy import LazyGroup
from bigearth_pipeline.cli.output_options import is_verbose, log_of

_FAILED: Final = 1
_OPTION: Final = re.compile(r"`([a-z][a-z0-9_.]*)=([^`]*)`")
_LINE: Final = re.compile(rf"{_OPTION.pattern}(?: {_OPTION.pattern})+")
"""Options in a row with a blank between each two: what a command line is to have."""
_PARAMETERS: Final = {"augmentation": "augment"}
"""Parameters of commands that are no fields of their name."""
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ReportingGroup(LazyGroup):
    """The root of all commands: its entry is where a failure of standard output becomes a line and a status.

    An error that comes out of a command is a bug, see `reported`: its traceback ends in a line on how to report it.

    A pipe whose reader has ended, as in `bep inspect … | head -1`, is no failure. Any other error of standard output is
    one line on stderr. The status is then that of the work where the results lie in files (`RESULTS_KEPT` in the meta
    data of the context), and 1 where the output is all that a command makes.
    """

    def main(self, *arguments: Any, **settings: Any) -> Any:
        """Run a command as `click.Group.main` does."""
        outcome = _Outcome()
        with guarded("stdout") as stdout, guarded("stderr"), _logged(outcome):
            try:
                return super().main(*arguments, **{"obj": outcome} | settings)
            except SystemExit as end:
                failure = stdout.finish() if stdout else None
                if failure is None or failure.errno == errno.EPIPE:
                    raise
                # Here, so that help needs nothing heavy.
                from shards.reporting import RESULTS_KEPT, printable

                is_kept = outcome.meta.get(RESULTS_KEPT, False)
                reason = printable(failure.strerror or type(failure).__name__)
                kept = "; the results are in files all the same" if is_kept else ""
                click.echo(f"standard output cannot be written: {reason}{kept}", err=True)
                if end.code in (0, None) and not is_kept:
                    raise SystemExit(_FAILED) from failure
                raise
            except Exception as err:
                if isinstance(err, ModuleNotFoundError):
                    from bigearth_pipeline.extra import without_requirement

                    if line := without_requirement(err):
                        click.echo(f"Error: {line}", err=True)
                        raise SystemExit(_FAILED) from None
                from shards.reporting import bug_report

                err.add_note(bug_report())
                raise

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, and keep what it says of itself in the meta data of the context."""
        if isinstance(ctx.obj, _Outcome):
            ctx.obj.meta = ctx.meta
        return super().invoke(ctx)


@dataclass(slots=True)
class _Outcome:
    meta: dict[str, Any] = field(default_factory=dict)


@contextmanager
def _logged(outcome: _Outcome) -> Iterator[None]:
    """Have a log file, if the command has opened one, end with how the command ended."""
    ended: BaseException | None = None
    try:
        yield
    except BaseException as err:
        ended = err
        raise
    finally:
        if log := log_of(outcome.meta):
            log.finish(ended)


@contextmanager
def reported(if_interrupted: str = "interrupted") -> Iterator[None]:
    """Turn errors for people into one line and exit status 1, and signals into one line and 128 + their number.

    Any other error is a bug, and raised as it is. Of several processes of a run each names itself, for it may fail for
    a reason of its own.

    Args:
        if_interrupted: line for Ctrl-C and for signals that end the program (SIGTERM, SIGHUP).
    """
    from shards.reporting import one_line

    rank = os.environ.get("RANK")
    prefix = "" if rank is None else f"[rank {rank}] "
    came: list[int] = []
    try:
        with _signals_raised() as came:
            yield
    except KeyboardInterrupt:
        # Ctrl-C that came in the middle of an import has no number.
        number = came[0] if came else signal.SIGINT
        click.echo(f"\n{if_interrupted}", err=True)
        raise click.exceptions.Exit(128 + number) from None
    except (click.exceptions.Exit, click.ClickException):
        raise
    except Exception as err:
        line = one_line(err)
        if line is None:
            raise
        if is_verbose():
            click.echo(traceback.format_exc(), err=True)
        raise click.ClickException(f"{prefix}{with_flags(line)}") from err


def with_flags(text: str) -> str:
    """Return a text in which options are those of the command under way.

    Libraries name an option as a Python argument in backquotes, see `shards.errors`: `cache=ram` is shown as
    `--cache ram`, `overwrite=True` as `--overwrite`, and an argument of the command by its place. Several of them in a
    row, an argument among them, are a whole command line, and begin with the command. Of a command that has `--set`, an
    option of a run is shown by it if it has no flag, or is named with its table. Anything else stays.
    """
    context = click.get_current_context(silent=True)
    parameters = [] if context is None else context.command.params

    def named(option: str) -> list[click.Parameter]:
        name = _PARAMETERS.get(option, option)
        long = f"--{name.replace('_', '-')}"
        return [parameter for parameter in parameters if name == parameter.name or long in parameter.opts]

    def line(match: re.Match[str]) -> str:
        options = [option for option, _ in _OPTION.findall(match[0])]
        if context is None or not any(isinstance(each, click.Argument) for option in options for each in named(option)):
            return match[0]
        return f"{_command(context)} {match[0]}"

    def flag(match: re.Match[str]) -> str:
        name, value = _PARAMETERS.get(match[1], match[1]), match[2]
        found = named(match[1])
        if found:
            return _written(found[0], value)
        if any("--set" in parameter.opts for parameter in parameters):
            from trainer.definition.tables import KEYS

            if "." in name or name in KEYS:
                return f"--set {shlex.quote(f'{KEYS.get(name, name)}={value}') if value else KEYS.get(name, name)}"
        return match[0]

    return _OPTION.sub(flag, _LINE.sub(line, text))


def _command(context: click.Context) -> str:
    """Return the command under way as people type it, such as `bep bench loader`."""
    names: list[str] = []
    while context.parent is not None:
        names.insert(0, str(context.info_name))
        context = context.parent
    return " ".join(["bep", *names])


def _written(parameter: click.Parameter, value: str) -> str:
    """Return a parameter with a value as a command line has it; an empty value stands for any."""
    if isinstance(parameter, click.Argument):
        return shlex.quote(value) if value else parameter.human_readable_name.strip("[]")
    if isinstance(parameter, click.Option) and parameter.is_flag:
        return (
            parameter.secondary_opts[0]
            if value in ("False", "false") and parameter.secondary_opts
            else parameter.opts[0]
        )
    return f"{parameter.opts[0]} {shlex.quote(value)}" if value else parameter.opts[0]


@contextmanager
def _signals_raised() -> Iterator[list[int]]:
    """Let the first signal that is to end the program raise KeyboardInterrupt, give its number, and ignore others.

    What follows the first is bounded in time and leaves nothing behind, as long as it is not cut off; SIGKILL ends it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield []
        return

    came: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        if not came:
            came.append(number)
            raise KeyboardInterrupt

    # One that is ignored, as by nohup, stays so.
    before = {each: old for each in _SIGNALS if (old := signal.getsignal(each)) != signal.SIG_IGN}
    try:
        for each in before:
            signal.signal(each, end)
        yield came
    finally:
        for each, old in before.items():
            # What is left to do after a signal is to exit with its number.
            signal.signal(each, signal.SIG_IGN if came else old)
