"""Endings of commands: one line for people and an exit status, a traceback for bugs."""

import errno
import os
import re
import shlex
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import click

from bigearth_pipeline.cli.display.streams import guarded
from bigearth_pipeline.cli.lazy import LazyGroup
from bigearth_pipeline.cli.output_options import is_verbose, log_of
from bigearth_pipeline.signals import Ending, current

_FAILED: Final = 1
_OPTION: Final = re.compile(r"`([a-z][a-z0-9_.]*)=([^`]*)`")
_LINE: Final = re.compile(rf"{_OPTION.pattern}(?: {_OPTION.pattern})+")
"""Options in a row with a blank between each two: what a command line is to have."""
_PARAMETERS: Final = {"augmentation": "augment"}
"""Parameters of commands that are no fields of their name."""


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
                if line := _about_libraries(err):
                    click.echo(f"Error: {line}", err=True)
                    raise SystemExit(_FAILED) from None
                from shards.reporting import bug_report

                err.add_note(bug_report())
                raise

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, and keep what it says of itself in the meta data of the context."""
        if isinstance(ctx.obj, _Outcome):
            ctx.obj.meta = ctx.meta
        try:
            return super().invoke(ctx)
        except click.MissingParameter as err:
            # Its choices have a line each.
            raise click.UsageError(" ".join(err.format_message().split()), err.ctx) from None
        except EOFError as err:
            # Click would take it for the end of what is typed, and say "Aborted!".
            raise RuntimeError("a file or a connection ended too early") from err
        except KeyboardInterrupt:  # While the command was imported.
            raise _interrupted(current(), "") from None


def _about_libraries(err: Exception) -> str | None:
    """Return the line about a library that is hidden or not installed; None for any other error."""
    from bigearth_pipeline.shadowed import shadowed_library

    if line := shadowed_library(err):
        return line
    if isinstance(err, ModuleNotFoundError):
        from bigearth_pipeline.extra import without_requirement

        return without_requirement(err)
    return None


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
def reported(if_interrupted: str | Callable[[], str] = "") -> Iterator[None]:
    """Turn errors for people into one line and exit status 1, and signals into one line and 128 + their number.

    Any other error is a bug, and raised as it is. Of several processes of a run each names itself, for it may fail for
    a reason of its own.

    Args:
        if_interrupted: what remains and how to go on after Ctrl-C and signals that end the program (SIGTERM, SIGHUP),
            or what returns this text then.
    """
    from shards.reporting import one_line, without_secrets

    rank = os.environ.get("RANK")
    prefix = "" if rank is None else f"[rank {rank}] "
    ending = current()
    try:
        with ending.heard():
            yield
    except KeyboardInterrupt:
        raise _interrupted(ending, if_interrupted) from None
    except (click.exceptions.Exit, click.ClickException):
        raise
    except Exception as err:
        if ending.came:
            # Libraries turn what a signal has raised into errors of their own.
            raise _interrupted(ending, if_interrupted) from None
        line = one_line(err)
        if line is None:
            raise
        if is_verbose():
            click.echo(without_secrets(traceback.format_exc()), err=True)
        raise click.ClickException(f"{prefix}{with_flags(line)}") from err


def interrupted(then: str = "") -> str:
    """Return the line of a command that was interrupted, with what remains and how to go on."""
    return f"interrupted: {then}" if then else "interrupted"


def _interrupted(ending: Ending, line: str | Callable[[], str]) -> click.exceptions.Exit:
    """Say that the command was interrupted, and return its end."""
    click.echo(f"\n{interrupted(line if isinstance(line, str) else line())}", err=True)
    return click.exceptions.Exit(ending.status)


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
