"""The bytes of a cache for one process, where the user names no folder for it."""

import os
from pathlib import Path
from typing import Final

from shards.runtime.filesystem import is_in_memory
from shards.runtime.memory import available_bytes

_MOST: Final = 16 << 30
_SHARE_OF_DISK: Final = 0.5
_SHARE_OF_MEMORY: Final = 0.25


def private_bytes(folder: Path) -> int:
    """Return how many bytes a cache may take in that folder: half of the free space of a disk, a quarter of memory."""
    status = os.statvfs(folder)
    free = _SHARE_OF_DISK * status.f_bavail * status.f_frsize
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if is_in_memory(descriptor):
            free = min(free, _SHARE_OF_MEMORY * available_bytes())
    finally:
        os.close(descriptor)
    return int(min(free, _MOST))
