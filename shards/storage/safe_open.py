"""Opening files that must be regular ones.

A named pipe blocks whoever opens it, `/dev/zero` has no end, and a folder cannot be read: each fails here at once, with
an `OSError` whose `strerror` says what the path is.
"""

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path
from typing import Final

from shards.storage.names import named

_KINDS: Final = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}
OPEN_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
"""For `os.open`: never waits for the writer of a pipe. On a regular file O_NONBLOCK changes nothing (open(2))."""


def open_regular(path: str | os.PathLike[str]) -> int:
    """Return a descriptor of a regular file, open for reading.

    Raises:
        OSError: it cannot be opened, or is no regular file.
    """
    descriptor = os.open(path, OPEN_FLAGS)
    try:
        check_regular(descriptor, path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def check_regular(descriptor: int, path: str | os.PathLike[str]) -> os.stat_result:
    """Return the status of an open file.

    Args:
        descriptor: of the file.
        path: of the file, for the error.

    Raises:
        OSError: it is no regular file.
    """
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise _irregular(status, path)
    return status


def check_replaceable(path: str | os.PathLike[str]) -> None:
    """Raise OSError if a path leads to a device, a pipe or a socket, which a new file would take the place of."""
    try:
        status = os.stat(path)
    except OSError:
        return  # There is nothing, or what creates the file says why it cannot.
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise _irregular(status, path)


def _irregular(status: os.stat_result, path: str | os.PathLike[str]) -> OSError:
    kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
    return OSError(errno.EINVAL, f"it is {kind}, expected a regular file", os.fspath(path))


def open_regular_file(path: str | os.PathLike[str]) -> BufferedReader:
    """Return a regular file, open for reading as `open(path, "rb")` opens it.

    Raises:
        OSError: it cannot be opened, or is no regular file.
    """
    return open(open_regular(path), "rb")


def read_regular(path: str | os.PathLike[str], at_most: int) -> bytes:
    """Return the content of a regular file.

    Args:
        path: of the file.
        at_most: bytes that it may have.

    Raises:
        OSError: it cannot be read, is no regular file, or is longer.
    """
    with open_regular_file(path) as file:
        return _read(file, path, at_most)


def read_inside(folder: Path, relative: str, at_most: int) -> bytes:
    """Return the content of a regular file of a folder.

    Args:
        folder: the folder.
        relative: name of the file in it.
        at_most: bytes that it may have.

    Raises:
        OSError: as `open_inside`, or the file is longer.
    """
    with open_inside(folder, relative) as file:
        return _read(file, folder / relative, at_most)


def _read(file: BufferedReader, path: str | os.PathLike[str], at_most: int) -> bytes:
    size = os.fstat(file.fileno()).st_size
    with named(path):
        # Asked first, so that a sparse file of terabytes is not read up to the limit.
        content = file.read(at_most + 1) if size <= at_most else b""
    if size > at_most or len(content) > at_most:
        size = max(size, len(content))
        raise OSError(errno.EFBIG, f"it has {size:,} bytes, expected at most {at_most:,}", os.fspath(path))
    return content


def resolve_inside(folder: Path, relative: str) -> Path | None:
    """Return the path of a file of a folder; None if the name leads out of it, or anywhere by a symbolic link.

    A link within the folder is refused as well: it would make two names of one file. The folder itself may be one.

    Args:
        folder: the folder.
        relative: a name from a file that anyone may have written; the file may be absent.
    """
    if not relative or Path(relative).is_absolute() or ".." in Path(relative).parts:
        return None
    try:
        path, expected = (folder / relative).resolve(), folder.resolve() / relative
    except (OSError, ValueError, RuntimeError):  # Also of links in a circle, and of characters that no name can hold.
        return None
    return folder / relative if path == expected and path != folder.resolve() else None


def open_inside(folder: Path, relative: str) -> BufferedReader:
    """Return a regular file of a folder, open for reading.

    Raises:
        OSError: the name leads out of the folder or is that of a symbolic link, or the file cannot be opened, or is no
            regular file.
    """
    path = resolve_inside(folder, relative)
    if path is None:
        raise OSError(errno.EINVAL, f"it leads out of {folder} or is a symbolic link", str(folder / relative))
    return open_regular_file(path)
