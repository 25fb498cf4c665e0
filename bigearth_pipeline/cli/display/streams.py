"""The standard streams of a command, which keep their first failure instead of raising it."""

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedWriter, RawIOBase, TextIOWrapper
from typing import Any, TextIO


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
def guarded(name: str) -> Iterator[StandardStream | None]:
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
