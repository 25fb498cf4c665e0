"""Errors of the operating system that name their file."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def named(path: str | os.PathLike[str]) -> Iterator[None]:
    """Let an `OSError` of the block that names no file name this one.

    The kernel reports an error of a read, a write or an fsync by descriptor, so that Python knows no name for it. An
    error that names its file, or is of a connection, stays as it is.
    """
    try:
        yield
    except OSError as err:
        if err.errno is not None and err.filename is None and not isinstance(err, ConnectionError):
            err.filename = os.fspath(path)
        raise


@contextmanager
def renamed(temporary: Path, final: Path) -> Iterator[None]:
    """Let an `OSError` of the block that names a temporary file or folder, or a file in it, name what it stands for.

    Args:
        temporary: path that nobody but this program knows.
        final: what the user knows it as, or knows it by.
    """
    try:
        yield
    except OSError as err:
        if isinstance(err.filename, str | bytes | os.PathLike):
            path = Path(os.fsdecode(err.filename))
            if path.is_relative_to(temporary):
                err.filename = str(final / path.relative_to(temporary))
        raise
