"""Faults of the operating system: the n-th call on what lies below a folder fails, all others work.

Where `shards.testing.faults` fails effects of the seams of this package, this reaches all that Python code does to
files, also by way of zarr-python. Errors are those of the kernel: calls that take a path name it, those that take a
descriptor name nothing.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from shards.testing.calls import Call, Name, intercepted
from shards.testing.faults import Faults, Kind, flipped

_KINDS: Final[dict[Name, tuple[Kind, ...]]] = {
    "read": ("io", "memory"),
    "open folder": ("io",),
    "list": ("io",),
    "create": ("io", "full"),
    "mkdir": ("io", "full"),
    "unlink": ("io",),
    "rmdir": ("io",),
    "rename": ("io", "full", "lost"),
    "link": ("io", "full", "lost"),
    "write": ("io", "full", "torn", "memory"),
    "fsync": ("io", "full"),
}
"""Ways in which each call can fail before it has an effect."""
_BY_DESCRIPTOR: Final = ("write", "fsync")
_UNREADABLE: Final = "/proc/self/mem"
"""A regular file that opens, and whose first byte cannot be read: EIO (proc(5))."""


@contextmanager
def failing_calls(folder: Path, faults: Faults) -> Iterator[None]:
    """Let the calls of this process on what lies below a folder be subject to faults while the block runs.

    Args:
        folder: an absolute path without symbolic links.
        faults: which call fails, and how. `short` and `flipped` show a file to whoever opens it for reading as if its
            second half were absent, or a bit of it differed.
    """

    def handle(call: Call) -> Any:
        if faults.strike(call.name, *_KINDS[call.name]):
            if faults.kind == "torn":
                call.perform_half()
            code = errno.ENOSPC if faults.kind == "full" else errno.EIO
            where = () if call.name in _BY_DESCRIPTOR else (str(call.path),)
            raise OSError(code, os.strerror(code), *where)
        if call.name == "read" and faults.strike("content", "io"):
            return os.open(_UNREADABLE, os.O_RDONLY | os.O_CLOEXEC)
        result = call.perform()
        if call.name == "read" and faults.strike("content", "short", "flipped"):
            return _damaged(result, faults.kind)
        if call.name in ("rename", "link") and faults.strike(f"after {call.name}", "late"):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(call.path))
        return result

    with intercepted(folder, handle):
        yield


def _damaged(descriptor: int, kind: Kind) -> int:
    """Replace the descriptor of a file by that of a damaged copy, which lies in memory."""
    with open(descriptor, "rb") as file:
        content = file.read()
    copy = os.memfd_create("bep-damaged", os.MFD_CLOEXEC)
    os.pwrite(copy, content[: len(content) // 2] if kind == "short" else flipped(content), 0)
    return copy
