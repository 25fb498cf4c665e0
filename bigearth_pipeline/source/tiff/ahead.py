"""Reading the band files of patches ahead of their use, where reads wait for a disk or a network.

A read that waits costs a worker its latency, 26 times a patch: each file is opened and read, as is the folder. Threads
that read whole patches ahead let these waits overlap. Where nothing waits, since files are in the page cache, threads
would only cost time: reading begins without, and the threads start once some patches in sequence have waited.

What a thread cannot read, or is unusual, is left to `TiffReader.read_patch` when its turn comes, so that faults are
found, and described, by one piece of code.
"""

import os
import resource
import stat
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.errors import BadPatch
from bigearth_pipeline.source.georeference import Georeference
from bigearth_pipeline.source.tiff.names import BandFile, choose_band_files
from bigearth_pipeline.source.tiff.reader import TiffReader
from shards.storage.safe_open import OPEN_FLAGS

THREADS: Final = 32
"""Patches that are read at the same time. At 2 ms for each open a patch takes 26 ms, and a worker can encode 800 to
1,500 patches a second: 21 to 39 in flight."""
AHEAD: Final = 48
"""Patches that are read or being read, and not yet used."""
PATCH_BYTES: Final = 1 << 20
"""Bytes of the files of a patch that is read ahead, at most; BigEarthNet's have 0.17 MB. `AHEAD` of them are 50 MB."""
THREAD_NAME: Final = "bep-read"
"""Start of the names of the threads."""
_LIMIT_SHARE: Final = 16
"""Open files that the process may have for each thread; a thread opens two."""
_WAITS: Final = 8
_PATCHES: Final = 3
"""Threads start once this many patches in sequence have waited at least `_WAITS` times each. Twelve files that are not
in memory make a patch wait twelve times; a few waits are those for the interpreter lock, which other threads hold."""

COMPILED_AFTER: Final = 2000
"""Patches that a process reads file by file before it reads all files of a patch in one compiled call: that takes 0.8 s
to begin, and then 0.4 ms less of each, of processor time and of the lock (2 cores, 2 ms for each open)."""

_Files = dict[str, BandFile]
_num_given = 0  # Patches that threads of this process were given to read.


class ReadAhead:
    """Reads patches in a known order through a `TiffReader`; a context manager, whose threads end with the block."""

    def __init__(self, reader: TiffReader, patches: Sequence[tuple[str, str]]) -> None:
        """Say what will be read.

        Args:
            reader: reads patches, and decodes those that were read ahead.
            patches: (folder, patch name) of each, in the order in which they are used.
        """
        self._reader, self._patches = reader, patches
        self._pool: ThreadPoolExecutor | None = None
        self._stopped = threading.Event()
        self._ahead: deque[tuple[int, Future[_Files | None]]] = deque()
        self._next = 0  # The first patch that no thread was given.
        self._waited = 0  # Patches in sequence that have waited.

    def __enter__(self) -> "ReadAhead":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stopped.set()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._ahead.clear()

    def read(self, number: int, record: NDArray[np.uint16]) -> Georeference:
        """Read a patch; what it does, returns and raises is that of `TiffReader.read_patch`.

        Args:
            number: position of the patch in the order, above that of the one before; those in between are not read.
            record: (80000,) uint16, filled.
        """
        folder, key = self._patches[number]
        if self._pool is None:
            return self._read_at_once(number, folder, key, record)
        files = self._take(self._pool, number)
        if files is None:
            return self._reader.read_patch(folder, key, record)
        return self._reader.read_members(folder, files, record)

    def _read_at_once(self, number: int, folder: str, key: str, record: NDArray[np.uint16]) -> Georeference:
        before = _waits()
        try:
            return self._reader.read_patch(folder, key, record)
        finally:
            self._waited = self._waited + 1 if _waits() - before >= _WAITS else 0
            if self._waited >= _PATCHES and (threads := _num_threads()) > 0:
                self._pool = ThreadPoolExecutor(threads, THREAD_NAME)
                self._next = number + 1
                self._fill(self._pool)

    def _take(self, pool: ThreadPoolExecutor, number: int) -> _Files | None:
        """Return the files of a patch once they are read, and have threads read others in their place."""
        while self._ahead and self._ahead[0][0] < number:
            self._ahead.popleft()
        files = self._ahead.popleft()[1].result() if self._ahead else None
        self._next = max(self._next, number + 1)
        self._fill(pool)
        return files

    def _fill(self, pool: ThreadPoolExecutor) -> None:
        global _num_given
        while self._next < len(self._patches) and len(self._ahead) < AHEAD:
            in_one_call = _num_given >= COMPILED_AFTER
            self._ahead.append((self._next, pool.submit(self._read_files, *self._patches[self._next], in_one_call)))
            self._next += 1
            _num_given += 1

    def _read_files(self, folder: str, key: str, in_one_call: bool) -> _Files | None:
        """Return the band files of a patch in record order; None if it is for `TiffReader.read_patch` to read."""
        try:
            directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            names = choose_band_files(os.listdir(directory), folder, key)
            if self._stopped.is_set():
                return None
            if in_one_call:
                # Imported here, for numba is.
                from bigearth_pipeline.source.tiff.many import read_files

                return read_files(directory, names, PATCH_BYTES)
            return _read_each(directory, names, PATCH_BYTES)
        except (OSError, BadPatch):
            return None
        finally:
            os.close(directory)


def _read_each(directory: int, names: Sequence[str], room: int) -> _Files | None:
    """Read files as `many.read_files` does, one by one."""
    files: _Files = {}
    for name in names:
        descriptor = os.open(name, OPEN_FLAGS, dir_fd=directory)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size > room:
                return None
            # One byte more than there should be, so that a longer file is seen.
            content = os.pread(descriptor, status.st_size + 1, 0)
        finally:
            os.close(descriptor)
        if len(content) != status.st_size:
            return None
        files[name] = BandFile(memoryview(content), status.st_mtime_ns)
        room -= len(content)
    return files


def _num_threads() -> int:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return THREADS if limit == resource.RLIM_INFINITY else min(THREADS, limit // _LIMIT_SHARE)


def _waits() -> int:
    """Return how often this thread has waited: the kernel counts apart that its time was over (getrusage(2))."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
