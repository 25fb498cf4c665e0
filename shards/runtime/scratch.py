"""Temporary folders that end with their process: what a killed one has left is deleted by the next that makes one.

A folder is locked, flock(2), as long as a process has it, and gets its name once it is. A folder of that name without a
lock is therefore nobody's. Where the disk has no locks, none is ever deleted but by who has made it.
"""

import fcntl
import os
import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

_NAME: Final = re.compile(r"bep-[a-z]+\.[a-z0-9_]{8}\.tmp")


class ScratchFolder:
    """A new folder, deleted by `close`, at the end of a `with` block, or once its process has been killed.

    Attributes:
        path: of the folder.
    """

    def __init__(self, purpose: str, above: Path | None = None) -> None:
        """Make it, and delete those of killed processes beside it.

        Args:
            purpose: word for its name, such as `cache`, in lower case.
            above: folder that it is made in; None for that of temporary files.

        Raises:
            OSError: it cannot be made.
        """
        above = Path(tempfile.gettempdir()) if above is None else above
        with suppress(OSError):
            for folder in [path for path in above.iterdir() if _NAME.fullmatch(path.name)]:
                _delete_abandoned(folder)
        new = Path(tempfile.mkdtemp(prefix=f".bep-{purpose}.", suffix=".tmp", dir=above))
        self._process = os.getpid()
        self._descriptor: int | None = _open(new)
        with suppress(OSError):
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.path = new.rename(above / new.name[1:])

    def __enter__(self) -> Path:
        """Return the path."""
        return self.path

    def __exit__(self, *_: object) -> None:
        """Delete it."""
        self.close()

    def close(self) -> None:
        """Delete it, unless another process has made it; closing twice is harmless."""
        if self._descriptor is None:
            return
        if os.getpid() == self._process:
            shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._descriptor)
        self._descriptor = None


def _open(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _delete_abandoned(folder: Path) -> None:
    """Delete a folder of this user that no process has."""
    with suppress(OSError):
        descriptor = _open(folder)
        try:
            if os.fstat(descriptor).st_uid == os.getuid():
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(descriptor)
