"""The open files of a store: checked when they are opened, announced to the kernel before they are read."""

import os
import resource
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shards.errors import CorruptShard
from shards.metadata.manifest import FileInfo, ShardInfo
from shards.runtime.forks import renew_in_children
from shards.storage.mapped import MappedFile, map_in_memory
from shards.storage.regular import open_inside

_ADVICE_BYTES: Final = 1 << 17
"""Bytes of one call of `posix_fadvise`. Linux reads no more a call than the larger of the device's read-ahead, of which
this is the default, and its largest request (`force_page_cache_ra` in mm/readahead.c): one call for a whole file of
237 MB read 8 MB of it."""

_SAMPLE: Final = 4
"""Of so many places at most it is asked whether they are in the page cache."""


class ShardFiles:
    """The files that hold the parts of patches, each opened when it is first read; safe to share between threads.

    A forked process reads through the descriptors and mappings that it inherits.

    Attributes:
        mapped: the opened files that are mapped, by descriptor.
    """

    def __init__(self, folder: Path, shards: Sequence[ShardInfo], num_parts: int, *, may_map: bool) -> None:
        """Say which files there are.

        Args:
            folder: directory of the store.
            shards: as the manifest lists them; the first files of each hold one part each.
            num_parts: stored parts of a patch.
            may_map: map the files that lie in a memory file system.
        """
        self._may_map = may_map
        self.mapped: dict[int, MappedFile] = {}
        self._folder = folder
        self._files = [shard.files[:num_parts] for shard in shards]
        self._descriptors = np.full((len(shards), num_parts), -1, np.int64)
        self._num_open = 0
        # A mapping has a descriptor of its own.
        _allow_open_files(2 * self._descriptors.size)
        self.renew_after_fork()
        renew_in_children(self)

    def renew_after_fork(self) -> None:
        """See `shards.runtime.forks`: the adviser's thread is the parent's."""
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._adviser: ThreadPoolExecutor | None = None

    def path(self, shard: int, part: int) -> Path:
        """Return the path of the file of a part."""
        return self._folder / self._files[shard][part].path

    def descriptors(self, shards: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return descriptors of the files of some shards, (n, parts) int64.

        Raises:
            CorruptShard: a file is absent, or of another size than the manifest says.
        """
        found = self._descriptors[shards]
        if found.size and found.min() < 0:
            with self._lock:
                for shard in np.unique(shards).tolist():
                    for part, info in enumerate(self._files[shard]):
                        if self._descriptors[shard, part] < 0:
                            self._descriptors[shard, part] = self._open(info)
            found = self._descriptors[shards]
        return found

    def _open(self, info: FileInfo) -> int:
        descriptor = _open_checked(self._folder, info)
        self._num_open += 1
        if self._may_map and (mapped := map_in_memory(descriptor)) is not None:
            self.mapped[descriptor] = mapped
        return descriptor

    def unmap_cut_off(self, descriptors: NDArray[np.int64]) -> None:
        """Unmap those of some opened files that were cut off since, so that reads of them end in an error.

        Call it before the files of a batch are read from their mappings. A file that is cut off while a batch is read
        still ends the process (SIGBUS); only `may_map=False` rules that out. To ask before every piece would make it
        rarer, not impossible, and costs half of what the mapping saves where a patch has three.
        """
        for descriptor in np.unique(descriptors).tolist() if self.mapped else ():
            if (mapped := self.mapped.get(descriptor)) is not None and mapped.is_cut_off():
                self.mapped.pop(descriptor, None)

    def mapped_files(self, descriptors: NDArray[np.int64]) -> list[MappedFile]:
        """Return some opened files, one for each descriptor; nothing unless all are mapped."""
        files = [self.mapped.get(descriptor) for descriptor in descriptors.ravel().tolist()]
        mapped = [file for file in files if file is not None]
        return mapped if len(mapped) == len(files) else []

    def will_need(self, shards: NDArray[np.int32]) -> None:
        """Let the kernel read the files of some shards in sequence; this returns at once.

        Raises:
            CorruptShard: a file is absent, or of another size than the manifest says.
        """
        numbers = np.unique(shards)
        sizes = [info.size_bytes for shard in numbers.tolist() for info in self._files[shard]]
        for descriptor, size in zip(self.descriptors(numbers).ravel().tolist(), sizes, strict=True):
            self._advise([(descriptor, 0, size)])

    def will_read(self, descriptors: NDArray[np.int64], offsets: NDArray[np.int64], lengths: NDArray[np.int32]) -> None:
        """Let the kernel read some bytes of opened files; this returns at once.

        It does nothing if all files are in memory, nor if a sample of the bytes is all in the page cache: to say so for
        every record would cost as much of the interpreter's time as reading some.

        Args:
            descriptors: (n,) of opened files.
            offsets: (n,) where they begin.
            lengths: (n,) how many they are.
        """
        if len(self.mapped) == self._num_open:
            return

        def places(part: slice) -> Iterator[tuple[int, int, int]]:
            return zip(descriptors[part].tolist(), offsets[part].tolist(), lengths[part].tolist(), strict=True)

        sample = places(slice(None, None, len(lengths) // _SAMPLE + 1))
        if not all(_is_cached(descriptor, offset + length // 2) for descriptor, offset, length in sample):
            self._advise([place for place in places(slice(None)) if place[0] not in self.mapped])

    def _advise(self, places: list[tuple[int, int, int]]) -> None:
        def advise() -> None:
            for descriptor, start, length in places:
                for offset in range(start, start + length, _ADVICE_BYTES):
                    if self._closing.is_set():
                        return
                    size = min(_ADVICE_BYTES, start + length - offset)
                    os.posix_fadvise(descriptor, offset, size, os.POSIX_FADV_WILLNEED)

        if places:
            with self._lock:
                # A call blocks while the queue of the device is full, hence a thread of its own.
                if self._adviser is None:
                    self._adviser = ThreadPoolExecutor(1, "advise")
                self._adviser.submit(advise)

    def close(self) -> None:
        """Close all files; closing twice is harmless."""
        self._closing.set()
        with self._lock:
            adviser, self._adviser = self._adviser, None
        if adviser is not None:
            adviser.shutdown(wait=True)
        with self._lock:
            opened = self._descriptors[self._descriptors >= 0].tolist()
            self._descriptors[:] = -1
            self._num_open = 0
            self.mapped.clear()
        for descriptor in opened:
            os.close(descriptor)


def _is_cached(descriptor: int, offset: int) -> bool:
    """Return whether a byte can be read without waiting; False if the file system cannot say."""
    try:
        return os.preadv(descriptor, [bytearray(1)], offset, os.RWF_NOWAIT) == 1
    except (OSError, OverflowError):  # No file has an offset that only Python's integers can hold.
        return False


def _open_checked(folder: Path, info: FileInfo) -> int:
    path = folder / info.path
    try:
        with open_inside(folder, info.path) as file:
            size = os.fstat(file.fileno()).st_size
            if size != info.size_bytes:
                raise CorruptShard(f"{path} has {size} bytes, expected {info.size_bytes}")
            return os.dup(file.fileno())
    except FileNotFoundError:
        raise CorruptShard(f"{path} is absent, expected {info.size_bytes} bytes") from None
    except OSError as err:
        raise CorruptShard(f"{path} cannot be opened: {err.strerror}") from err


def _allow_open_files(count: int) -> None:
    """Raise the soft limit of open files where a store has more of them than the usual 1,024 allow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 512
    if soft != resource.RLIM_INFINITY and soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
