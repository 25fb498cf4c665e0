"""Named semaphores, which outlive the processes that have them open."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

_MEMORY = Path("/dev/shm")


def mapped(processes: Iterable[psutil.Process]) -> set[int]:
    """Return the inodes of the semaphores that processes have open, whether or not a file still has their name."""
    found: set[int] = set()
    for process in processes:
        # A process may end before its turn.
        with suppress(OSError):
            lines = Path(f"/proc/{process.pid}/maps").read_text().splitlines()
            found.update(int(line.split()[4]) for line in lines if f"{_MEMORY}/sem." in line)
    return found


def named(inodes: set[int]) -> list[str]:
    """Return the files of semaphores: what is left when their processes have ended.

    The C library makes a semaphore under a name of its own and removes that a moment later: that there is a name while
    its process runs says nothing.
    """
    found = []
    for entry in os.scandir(_MEMORY):
        with suppress(OSError):
            if entry.name.startswith("sem.") and entry.inode() in inodes:
                found.append(entry.path)
    return found
