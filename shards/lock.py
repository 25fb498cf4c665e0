"""One process at a time in a folder."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shards.errors import InUse


@contextmanager
def exclusive(path: Path, what: str) -> Iterator[None]:
    """Hold a lock file, made here, while the block runs.

    Args:
        path: of the lock file; its folder exists.
        what: the thing that is locked and by what, for the error, such as `runs/first is in use by another training`.

    Raises:
        InUse: another process holds it.
        OSError: the file cannot be made.
    """
    with open(path, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUse(what) from None
        yield
