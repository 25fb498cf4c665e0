"""The options that every command has: how much it says, and where that is kept."""

import copy
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from bigearth_pipeline.cli.places import Local

if TYPE_CHECKING:
    from bigearth_pipeline.cli.log_file import LogFile

QUIET: Final = "bigearth_pipeline.quiet"
"""Key in the meta data of the context: progress and notes are not shown."""
VERBOSE: Final = "bigearth_pipeline.verbose"
"""Key in the meta data of the context: tracebacks are shown."""
STEP: Final = "bigearth_pipeline.step"
"""Key in the meta data of the context: the command is a step of another one, which says what comes next."""
LOG: Final = "bigearth_pipeline.log"
"""Key in the meta data of the context: the `LogFile`."""


def with_output_options(command: click.Command) -> click.Command:
    """Return a command that has these options too; a group as it is."""
    if isinstance(command, click.Group):
        return command
    extended = copy.copy(command)
    extended.params = [*command.params, *_OPTIONS]
    return extended


def is_quiet() -> bool:
    """Return whether the command under way shows results and errors only."""
    return _is_set(QUIET)


def is_step() -> bool:
    """Return whether the command under way is a step of another one."""
    return _is_set(STEP)


def is_verbose() -> bool:
    """Return whether the command under way shows tracebacks."""
    return _is_set(VERBOSE)


def _is_set(key: str) -> bool:
    context = click.get_current_context(silent=True)
    return context is not None and key in context.meta


def notes_stream() -> TextIO | None:
    """Return where progress and notes go: stderr, of a quiet command its log file alone, or None."""
    if not is_quiet():
        return sys.stderr
    log = log_of(click.get_current_context().meta)
    return None if log is None else log.alone


def log_of(meta: dict[str, Any]) -> "LogFile | None":
    """Return the log file that the meta data of a context names."""
    return meta.get(LOG)


def _keep(key: str) -> Any:
    def keep(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        if value:
            ctx.meta[key] = True
        if QUIET in ctx.meta and VERBOSE in ctx.meta:
            raise click.UsageError("--quiet and --verbose exclude each other", ctx)
        if value and key == VERBOSE:
            import logging

            logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
            # It logs each address as it is, with passwords and signatures.
            logging.getLogger("httpx").setLevel(logging.WARNING)

    return keep


def _open_log(ctx: click.Context, param: click.Parameter, value: Path | None) -> None:
    if value is None:
        return
    from bigearth_pipeline.cli.log_file import LogFile

    try:
        ctx.meta[LOG] = LogFile(value, ctx.command_path)
    except OSError as err:
        raise click.BadParameter(f"{value} cannot be written: {err.strerror}", ctx, param) from err


def _flag(short: str, long: str, key: str, words: str) -> click.Option:
    """Return an option that sets a key of the meta data."""
    return click.Option([short, long], is_flag=True, expose_value=False, is_eager=True, callback=_keep(key), help=words)


_OPTIONS: Final = (
    click.Option(
        ["--log-file"],
        metavar="FILE",
        type=Local(dir_okay=False),
        expose_value=False,
        is_eager=True,
        callback=_open_log,
        help="Append progress, notes and errors to FILE, each line with its time (UTC).",
    ),
    _flag("-q", "--quiet", QUIET, "Show results and errors only; a log file still has all."),
    _flag("-v", "--verbose", VERBOSE, "Show tracebacks of errors, and what libraries log."),
)
"""The log first, so that it has all that is said."""
