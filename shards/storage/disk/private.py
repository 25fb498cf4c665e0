"""A cache for one process, where the user names none: in the folder for temporary files, and gone with the process."""

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from shards.runtime.filesystem import is_in_memory
from shards.runtime.memory import available_bytes
from shards.storage.disk.budget import USERS

_PREFIX: Final = "bep-cache-"
_MOST: Final = 16 << 30
_SHARE_OF_DISK: Final = 0.5
_SHARE_OF_MEMORY: Final = 0.25


def private_folder() -> Path:
    """Return a new folder for a cache; those of processes that were killed are deleted.

    Raises:
        OSError: there is no folder for temporary files.
    """
    base = Path(tempfile.gettempdir())
    for folder in base.glob(f"{_PREFIX}*"):
        if _is_abandoned(folder):
            shutil.rmtree(folder, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))


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


def _is_abandoned(folder: Path) -> bool:
    """Return whether a folder is a cache of this user that no process has open."""
    with suppress(OSError):
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            return False
        descriptor = os.open(folder / USERS, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        finally:
            os.close(descriptor)
    return False
