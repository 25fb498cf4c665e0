"""Read-ahead: files on disks are announced to the kernel, which reads them into the page cache."""

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from shards.runtime.forks import renew_in_children

_BYTES: Final = 1 << 17
"""Bytes of one call of `posix_fadvise`. Linux reads no more a call than the larger of the device's read-ahead, of which
this is the default, and its largest request (`force_page_cache_ra` in mm/readahead.c): one call for a whole file of
237 MB read 8 MB of it."""


class Adviser:
    """A thread that announces ranges of files; it starts with the first of them.

    A call blocks while the queue of the device is full, hence a thread of its own.
    """

    def __init__(self) -> None:
        self.renew_after_fork()
        renew_in_children(self)

    def renew_after_fork(self) -> None:
        """See `shards.runtime.forks`: the thread is the parent's."""
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread: ThreadPoolExecutor | None = None

    def advise(self, places: Sequence[tuple[int, int, int]]) -> None:
        """Announce places, each a descriptor, an offset and a length in bytes; this returns at once."""

        def announce() -> None:
            for descriptor, start, length in places:
                for offset in range(start, start + length, _BYTES):
                    if self._closing.is_set():
                        return
                    size = min(_BYTES, start + length - offset)
                    os.posix_fadvise(descriptor, offset, size, os.POSIX_FADV_WILLNEED)

        if places and hasattr(os, "posix_fadvise"):  # macOS has no such call.
            with self._lock:
                if self._thread is None:
                    self._thread = ThreadPoolExecutor(1, "advise")
                self._thread.submit(announce)

    def close(self) -> None:
        """Stop; closing twice is harmless, and descriptors may be closed afterwards."""
        self._closing.set()
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown(wait=True)


def is_cached(descriptor: int, offset: int) -> bool:
    """Return whether a byte can be read without waiting; False if the file system cannot say."""
    flag: int | None = getattr(os, "RWF_NOWAIT", None)
    if flag is None:  # Linux alone has it.
        return False
    try:
        return os.preadv(descriptor, [bytearray(1)], offset, flag) == 1
    except (OSError, OverflowError):  # No file has an offset that only Python's integers can hold.
        return False
