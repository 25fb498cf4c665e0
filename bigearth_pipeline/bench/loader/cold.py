"""Passes that begin with an empty page cache: dropping the pages of records, and making sure that they are gone.

What lies below the kernel, such as the cache of a disk or of a virtual machine's host, cannot be dropped from here.
"""

import ctypes
import errno
import mmap
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.bench.passes import Pass, take_turns
from bigearth_pipeline.bench.rate import Rate
from shards import Store
from shards.metadata.parts import PARTS
from shards.runtime.filesystem import MEMORY, file_system
from shards.text.words import percentage

MOST_LEFT: Final = 0.01
"""Share of the pages that may stay in the page cache for a pass to count as cold."""
LEAST_KEPT: Final = 0.5
"""Share of the pages that must be in the page cache after they were read, or it is not where the file system caches."""
_TRIES: Final = 10
_PAUSE: Final = 0.1  # seconds


@dataclass(frozen=True, eq=False)
class RecordPages:
    """The pages that the records of some rows lie on.

    Attributes:
        files: for each file, which of its pages hold a part of them, (pages,) bool.
        kind: type of the file system.
    """

    files: dict[Path, NDArray[np.bool_]]
    kind: str | None

    @classmethod
    def of(cls, store: Store, rows: NDArray[np.int64]) -> "RecordPages":
        """Find the pages of rows of a store's index."""
        files: dict[Path, NDArray[np.bool_]] = {}
        shard = store.shard_of(rows)
        for part_number, part in enumerate(PARTS[store.manifest.format]):
            offsets, lengths = (store.index.column(f"{part}_{what}")[rows] for what in ("offset", "length"))
            first, last = offsets // mmap.PAGESIZE, (offsets + lengths - 1) // mmap.PAGESIZE
            for number in np.unique(shard).tolist():
                info, chosen = store.manifest.shards[number].files[part_number], shard == number
                change = np.zeros(-(-info.size_bytes // mmap.PAGESIZE) + 1, np.int64)
                np.add.at(change, first[chosen], 1)
                np.add.at(change, last[chosen] + 1, -1)
                files[store.folder / info.path] = change[:-1].cumsum() > 0
        return cls(files, file_system(store.folder))

    @property
    def in_memory(self) -> bool:
        """True if the files are on a file system in memory."""
        return self.kind in MEMORY

    def share_in_cache(self) -> float:
        """Return which share of the pages the page cache holds, 0 to 1.

        Raises:
            OSError: a file is gone, or the kernel does not tell.
        """
        cached = sum(np.count_nonzero(cached_pages(path)[pages]) for path, pages in self.files.items())
        return cached / sum(np.count_nonzero(pages) for pages in self.files.values())

    def drop(self) -> str | None:
        """Drop all pages of the files from the page cache; return why they are not gone, or None if they are."""
        if self.in_memory:
            return f"not possible: the store lies in memory ({self.kind}) and nowhere else"
        for _ in range(_TRIES):
            for path in self.files:
                try:
                    _drop(path)
                except OSError as err:
                    return f"not possible: {path}: {err.strerror}"
            share = self.share_in_cache()
            if share <= MOST_LEFT:
                return None
            # What was announced to the kernel before may still be on its way.
            time.sleep(_PAUSE)
        return f"not possible: {percentage(share)} of the pages stay in the page cache after posix_fadvise(DONTNEED)"


class _StillWarm(Exception):
    """The page cache cannot be emptied."""


def measure_cold(
    passes: Mapping[str, Pass],
    pages: RecordPages,
    repeats: int,
    say: Callable[[str], None],
    least_seconds: float = 0.0,
) -> dict[str, Rate] | str:
    """Time passes whose laps each begin with an empty page cache, `repeats` times.

    Args:
        passes: as in `take_turns`; they have read the records before.
        pages: of the records.
        repeats: timed passes.
        say: receives what is measured now.
        least_seconds: of a pass.

    Returns:
        Rates by pass; where pages cannot be dropped, or are no measure of what is in memory, the reason for people.
    """
    try:
        share = pages.share_in_cache()
    except OSError as err:
        return f"not possible: what the page cache holds is not known here: {err}"
    if share < LEAST_KEPT:
        return (
            f"not possible: after they were read, only {percentage(share)} of the pages are in the page cache, so none "
            "was warm"
        )

    def drop() -> None:
        if (why_not := pages.drop()) is not None:
            raise _StillWarm(why_not)

    try:
        return take_turns(
            passes,
            repeats=repeats,
            warm_up=0,
            least_seconds=least_seconds,
            say=lambda text: say(f"{text}, cold"),
            before=drop,
        )
    except _StillWarm as err:
        return str(err)


def cached_pages(path: Path) -> NDArray[np.bool_]:
    """Return which pages of a file the page cache holds, (pages,) bool; asking reads nothing of it.

    The source is mincore(2), which says of files that are neither this user's nor writable that all of it is there.

    Raises:
        OSError: there is no such file, or the kernel does not tell.
    """
    try:
        mincore = ctypes.CDLL(None, use_errno=True).mincore
    except AttributeError as err:
        raise OSError(errno.ENOSYS, "the C library has no mincore(2)", str(path)) from err
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapping:
        memory = np.frombuffer(mapping, np.uint8)
        pages = np.zeros(-(-len(memory) // mmap.PAGESIZE), np.uint8)
        status = mincore(
            ctypes.c_void_p(memory.ctypes.data), ctypes.c_size_t(len(memory)), ctypes.c_void_p(pages.ctypes.data)
        )
        # The mapping cannot be closed while an array looks at it.
        del memory
    if status != 0:
        # Sandboxes such as gVisor have no such system call.
        raise OSError(ctypes.get_errno(), f"mincore(2): {os.strerror(ctypes.get_errno())}", str(path))
    return (pages & 1).astype(np.bool_)


def _drop(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # Pages that are not written yet are not dropped.
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
