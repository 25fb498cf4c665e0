"""A copy of what a command says on stderr, with times."""

import errno
import os
import re
import stat
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from io import TextIOBase
from pathlib import Path
from typing import Final, TextIO

from shards.reporting import without_secrets

_TIME: Final = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ")
"""Begin of each line."""
_TIME_BYTES: Final = 21


class _FileAlone(TextIOBase):
    """Appends whole lines to a log, and shows them nowhere."""

    def __init__(self, append: Callable[[str], None]) -> None:
        self._append, self._rest = append, ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._append(line)
        return len(text)


class LogFile(TextIOBase):
    """Takes the place of stderr, and appends each line to a file too; it is no terminal, so progress comes in lines.

    Several processes may append to one file: a line is one write.
    """

    def __init__(self, path: Path, command: str) -> None:
        """Open the file and take the place of stderr.

        Args:
            path: of the file, which is made if it is not there.
            command: name of the command. Its arguments are not written, for an address can hold a signature.

        Raises:
            OSError: the file cannot be written, or holds something else than such lines.
        """
        _check_ours(path)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o666)
        self._command, self._rest = command, ""
        self.alone: TextIO = _FileAlone(self._append)  # type: ignore[assignment]
        """Takes what a quiet command does not show."""
        self._append(f"{command} began, process {os.getpid()}")
        self._stderr: TextIO = sys.stderr
        sys.stderr = self

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Encoding of stderr."""
        return self._stderr.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """Handling of what stderr cannot encode."""
        return self._stderr.errors

    def writable(self) -> bool:
        """Say yes."""
        return True

    def fileno(self) -> int:
        """Return the descriptor of stderr."""
        return self._stderr.fileno()

    def write(self, text: str) -> int:
        """Write to stderr, and whole lines to the file."""
        self._stderr.write(text)
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._append(line)
        return len(text)

    def flush(self) -> None:
        """Flush stderr."""
        self._stderr.flush()

    def finish(self, outcome: BaseException | None) -> None:
        """Give its place back to stderr, and write how the command ended."""
        if sys.stderr is self:
            sys.stderr = self._stderr
        if self._rest:
            self._append(self._rest)
        status = outcome.code if isinstance(outcome, SystemExit) else 0 if outcome is None else 1
        if outcome is not None and not isinstance(outcome, SystemExit):
            for line in "".join(traceback.format_exception(outcome)).splitlines():
                self._append(line)
        self._append(f"{self._command} ended with status {status or 0}")
        os.close(self._descriptor)

    def _append(self, line: str) -> None:
        if line := without_secrets(line.strip("\r")):
            content = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {line}\n".encode(errors="backslashreplace")
            # A full disk is no reason to end the work, and stderr has the line.
            with suppress(OSError):
                os.write(self._descriptor, content)


def _check_ours(path: Path) -> None:
    """Check that a file is absent, empty, a log, or something that keeps nothing, such as a terminal or a pipe.

    Raises:
        OSError: it is a file of another kind, lies in a store, or cannot be read.
    """
    # Imported here, since it takes the libraries that read shards along.
    from shards.metadata.place import store_around

    if (store := store_around(path.resolve())) is not None:
        raise OSError(
            errno.EPERM, f"it lies in the store {store}, which holds no other files; name another file", str(path)
        )
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return
    except FileNotFoundError:
        return
    with open(path, "rb") as file:
        begin = file.read(_TIME_BYTES)
    if begin and not _TIME.fullmatch(begin):
        raise OSError(errno.EEXIST, "it holds something else than a log of bep; name another file", str(path))
