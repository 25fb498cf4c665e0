"""Namespaces of Linux that a process or a thread enters. Python has `os.setns` from 3.12."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

KINDS: Final = ("ipc", "uts", "net", "mnt")
"""Those that make a host, in the order in which they are entered."""
_CLONE_FS: Final = 0x200


def enter(process: int) -> None:
    """Let this process, which has one thread, be on the host of another.

    Raises:
        OSError: the process has ended, or this one lacks the right.
    """
    files = [os.open(f"/proc/{process}/ns/{kind}", os.O_RDONLY) for kind in KINDS]
    # A thread of a library may share the working folder, which keeps a process from other mounts.
    _call("unshare", _CLONE_FS)
    for file in files:
        _call("setns", file, 0)
        os.close(file)


@contextmanager
def network_of(process: int) -> Iterator[None]:
    """Let this thread, and those that it starts, use the network of the host of a process while the block runs.

    Raises:
        OSError: the process has ended, or this one lacks the right.
    """
    with open("/proc/thread-self/ns/net") as before, open(f"/proc/{process}/ns/net") as there:
        _call("setns", there.fileno(), 0)
        try:
            yield
        finally:
            _call("setns", before.fileno(), 0)


def _call(name: str, *arguments: int) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments):
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")
