"""The standard streams of a command: output that cannot be written neither ends its work nor changes its status."""

import errno
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedWriter, RawIOBase, TextIOWrapper
from typing import Any, Final, TextIO

import click

from bigearth_pipeline.cli.lazy import LazyGroup

_FAILED: Final = 1


class ReportingGroup(LazyGroup):
    """The root of all commands: its entry is where a failure of standard output becomes a line and a status.

    A pipe whose reader has ended, as in `bep inspect … | head -1`, is no failure. Any other error of standard output is
    one line on stderr. The status is then that of the work where the results lie in files (`RESULTS_KEPT` in the meta
    data of the context), and 1 where the output is all that a command makes.
    """

    def main(self, *arguments: Any, **settings: Any) -> Any:
        """Run a command as `click.Group.main` does."""
        outcome = _Outcome()
        with _guarded("stdout") as stdout, _guarded("stderr"):
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

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, and keep what it says of itself in the meta data of the context."""
        if isinstance(ctx.obj, _Outcome):
            ctx.obj.meta = ctx.meta
        return super().invoke(ctx)


@dataclass(slots=True)
class _Outcome:
    meta: dict[str, Any] = field(default_factory=dict)


class StandardStream(RawIOBase):
    """Standard output or error of this process, which takes everything, and drops it from the first failure on."""

    def __init__(self, stream: TextIOWrapper) -> None:
        stream.flush()
        self._descriptor = stream.fileno()
        self._terminal = stream.isatty()
        self.name = stream.name
        self._failure: OSError | None = None
        self.text = TextIOWrapper(
            BufferedWriter(self),
            encoding=stream.encoding,
            # What cannot encode "→" shows an escape.
            errors="backslashreplace",
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )

    def writable(self) -> bool:
        """Say yes."""
        return True

    def fileno(self) -> int:
        """Return the descriptor of the stream."""
        return self._descriptor

    def isatty(self) -> bool:
        """Return whether a terminal shows it."""
        return self._terminal

    def write(self, data: Any) -> int:
        """Write what can be written, and count the rest as written."""
        while self._failure is None:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:
                # Another process has made the pipe, which it shares, non-blocking.
                select.select([], [self._descriptor], [])
            except OSError as err:
                self._failure = err
        return len(data)

    def finish(self) -> OSError | None:
        """Write what is held back, and return the first failure."""
        self.text.flush()
        return self._failure


@contextmanager
def _guarded(name: str) -> Iterator[StandardStream | None]:
    """Put a guard in place of a standard stream, unless the program that calls has put something else there."""
    stream: TextIO | None = getattr(sys, name)
    if stream is not getattr(sys, f"__{name}__") or not isinstance(stream, TextIOWrapper):
        yield None
        return
    try:
        guard = StandardStream(stream)
    except OSError:  # It has no descriptor, or has failed before.
        yield None
        return
    setattr(sys, name, guard.text)
    try:
        yield guard
    finally:
        guard.finish()
        setattr(sys, name, stream)
