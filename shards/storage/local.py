"""A store in a folder: its files, checked when they are opened, read by range, mapped where they lie in memory."""

import os
import resource
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Final

import numpy as np
from numpy.typing import NDArray

from shards.errors import CorruptShard
from shards.runtime.forks import renew_in_children
from shards.storage.advice import Adviser, is_cached
from shards.storage.atomic import atomic_write
from shards.storage.base import FileEntry, Range, Ranges, RangeTable, Unreadable, Views
from shards.storage.mapped import MappedFile, map_in_memory
from shards.storage.safe_open import open_inside, read_inside

_SAMPLE: Final = 4
"""Of at most this many places it is asked whether they are in the page cache."""


class LocalStorage:
    """A folder, as `Storage`."""

    def __init__(self, folder: Path, *, may_map: bool = True) -> None:
        """Name the folder.

        Args:
            folder: directory of the store.
            may_map: map the files that lie in a memory file system.
        """
        self._folder, self._may_map = folder, may_map

    def open(self, files: Sequence[FileEntry], table: Callable[[], RangeTable]) -> "LocalFiles":
        """See `Storage`."""
        return LocalFiles(self._folder, files, may_map=self._may_map)

    def read(self, name: str, at_most: int) -> bytes:
        """See `Storage`."""
        return read_inside(self._folder, name, at_most)

    def has(self, name: str) -> bool:
        """See `Storage`."""
        return (self._folder / name).exists()

    def create(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """See `Storage`; the folder of the file exists."""
        return atomic_write(self._folder / name)


class LocalFiles:
    """Files of a folder, as `Files`.

    A forked process reads through the descriptors and mappings that it inherits.

    Attributes:
        mapped: the opened files that are mapped, by number.
    """

    def __init__(self, folder: Path, files: Sequence[FileEntry], *, may_map: bool) -> None:
        """Say which files there are; arguments as in `LocalStorage` and its `open`."""
        self.mapped: dict[int, MappedFile] = {}
        self._folder, self._files, self._may_map = folder, files, may_map
        self._descriptors = np.full(len(files), -1, np.int64)
        # Of the mappings; what is not mapped can hold nothing.
        self._sizes, self._addresses = np.full(len(files), -1, np.int64), np.zeros(len(files), np.uint64)
        self._num_open = 0
        self._adviser = Adviser()
        # A mapping has a descriptor of its own.
        _allow_open_files(2 * len(files))
        self.renew_after_fork()
        renew_in_children(self)

    def renew_after_fork(self) -> None:
        """See `shards.runtime.forks`."""
        self._lock = threading.Lock()

    def path(self, file: int) -> Path:
        """See `Files`."""
        return self._folder / self._files[file].name

    def prepare(self, ranges: Ranges) -> None:
        """See `Files`."""
        self._opened(ranges.file)

    def descriptors(self, ranges: Ranges, prepared: object) -> NDArray[np.int64]:
        """See `Files`; there always are some."""
        return self._opened(ranges.file)

    def _opened(self, files: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return the descriptors of files, (n,) int64, each opened here if it is not."""
        found = self._descriptors[files]
        if found.size and found.min() < 0:
            with self._lock:
                for file in np.unique(files).tolist():
                    if self._descriptors[file] < 0:
                        self._descriptors[file] = self._open(file)
            found = self._descriptors[files]
        return found

    def _open(self, file: int) -> int:
        descriptor = _open_checked(self._folder, self._files[file])
        self._num_open += 1
        if self._may_map and (mapped := map_in_memory(descriptor)) is not None:
            self.mapped[file] = mapped
            self._sizes[file], self._addresses[file] = len(mapped.bytes), mapped.address
        return descriptor

    def views(self, ranges: Ranges) -> Views | None:
        """See `Files`: of files that are mapped, and were not cut off since.

        A file that is cut off while its views are in use ends the process (SIGBUS); only `may_map=False` rules that
        out. To ask before every range would make it rarer, not impossible, and costs half of what the mapping saves
        where a patch has three.
        """
        self._opened(ranges.file)
        if not self.mapped:
            return None
        sources = {}
        for file in np.unique(ranges.file).tolist():
            if (mapped := self.mapped.get(file)) is None:
                continue
            if mapped.is_cut_off():
                self.mapped.pop(file, None)
                self._sizes[file] = -1
            else:
                sources[file] = mapped.bytes
        # What a file never held is left to `fetch`, which says what is wrong. `offset + length` could wrap.
        sizes = self._sizes[ranges.file]
        held = (ranges.offset >= 0) & (ranges.length >= 0) & (ranges.offset <= sizes - ranges.length)
        address = self._addresses[ranges.file] + ranges.offset.view(np.uint64)
        if not held.all():
            address[~held] = 0
        return Views(ranges, sources, ranges.file, ranges.offset, address)

    def compared(self, prepared: object) -> bool:
        """See `Files`: nobody compares them before they are read."""
        return False

    def bring(self, place: Range, prepared: object) -> bool:
        """See `Files`: the page cache has what was read."""
        return False

    def fetch(self, place: Range, buffer: NDArray[np.uint8], prepared: object) -> bool:
        """See `Files`."""
        _, file, offset, length = place
        if offset < 0:  # preadv2(2), which Python calls, takes −1 for the current position of the file.
            raise Unreadable(self.path(file), f"cannot be read at offset {offset}, expected at least 0")
        try:
            count = os.preadv(self._descriptors.item(file), [buffer], offset)
        except OSError as err:
            raise Unreadable(self.path(file), f"cannot be read at offset {offset} ({err.strerror})") from err
        if count != length:
            raise Unreadable(self.path(file), f"ends after {count} bytes, expected {length} at offset {offset}")
        return False

    def doubt(self, place: Range, prepared: object) -> bool:
        """See `Files`: there is no copy."""
        return False

    def advise(self, ranges: Ranges) -> None:
        """See `Files`: the kernel reads them into the page cache.

        It does nothing if all files are in memory, nor if a sample of the ranges is all in the page cache: to say so
        for every record would cost as much of the interpreter's time as reading some.
        """
        descriptors = self._opened(ranges.file)
        if len(self.mapped) == self._num_open:
            return

        def places(part: slice) -> Iterator[tuple[int, int, int]]:
            columns = descriptors[part], ranges.offset[part], ranges.length[part]
            return zip(*(column.tolist() for column in columns), strict=True)

        sample = places(slice(None, None, len(ranges) // _SAMPLE + 1))
        if not all(is_cached(descriptor, offset + length // 2) for descriptor, offset, length in sample):
            files = ranges.file.tolist()
            every = zip(files, places(slice(None)), strict=True)
            self._adviser.advise([place for file, place in every if file not in self.mapped])

    def advise_files(self, ranges: Ranges) -> None:
        """See `Files`: the kernel reads these files whole into the page cache, each in sequence."""
        numbers = np.unique(ranges.file)
        for file, descriptor in zip(numbers.tolist(), self._opened(numbers).tolist(), strict=True):
            self._adviser.advise([(descriptor, 0, self._files[file].size_bytes)])

    def give_up(self) -> None:
        """See `Files`: a local file does not keep anyone waiting."""

    def close(self) -> None:
        """See `Files`."""
        self._adviser.close()
        with self._lock:
            opened = self._descriptors[self._descriptors >= 0].tolist()
            self._descriptors[:] = -1
            self._sizes[:] = -1
            self._num_open = 0
            self.mapped.clear()
        for descriptor in opened:
            os.close(descriptor)


def _open_checked(folder: Path, file: FileEntry) -> int:
    path = folder / file.name
    try:
        with open_inside(folder, file.name) as opened:
            size = os.fstat(opened.fileno()).st_size
            if size != file.size_bytes:
                raise CorruptShard(f"{path} has {size} bytes, expected {file.size_bytes}")
            return os.dup(opened.fileno())
    except FileNotFoundError:
        raise CorruptShard(f"{path} is absent, expected {file.size_bytes} bytes") from None
    except OSError as err:
        raise CorruptShard(f"{path} cannot be opened: {err.strerror}") from err


def _allow_open_files(count: int) -> None:
    """Raise the soft limit of open files where a store has more of them than the usual 1,024 allow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 512
    if soft != resource.RLIM_INFINITY and soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
