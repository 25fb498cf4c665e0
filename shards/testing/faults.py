"""Faults of storage on demand: the n-th effect on files or shared memory fails, all others work.

A test runs the same work with n = 1, 2, … until no fault fires any more (`each_fault`). Each run must end with the
right bytes or in an error that names the thing, and leave nothing open.
"""

import errno
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any, Final, Literal, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from shards.errors import CorruptShard, NotEnoughMemory
from shards.storage import atomic
from shards.storage.base import Cache, FileEntry, Files, Range, Ranges, RangeTable, Storage, Unreadable, Views

Kind: TypeAlias = Literal["io", "full", "short", "flipped", "memory", "torn", "lost", "late"]
KINDS: Final[dict[Kind, str]] = {
    "io": "EIO from whatever can fail; a mapping, descriptor or advice that the system refuses",
    "full": "ENOSPC from what writes; no memory for a record that is to be kept",
    "short": "a range of a file that ends early",
    "flipped": "a range of a file in which a bit differs, without any error",
    "memory": "MemoryError from what allocates",
    "torn": "a write of which half arrives before EIO",
    "lost": "a rename that fails, so that the new file does not appear",
    "late": "EIO after the rename, so that the new file has appeared",
}
"""Faults that can be injected, by name."""
_CODES: Final = {"full": errno.ENOSPC}


class Faults:
    """Counts effects, and says which one is to fail; safe to share between threads.

    Attributes:
        kind: of the fault.
        fired: the effect that failed; None if none did so far.
    """

    def __init__(self, nth: int, kind: Kind) -> None:
        """Have the n-th effect fail that can fail in this way, from 1."""
        self.kind, self.fired = kind, cast(str | None, None)
        self._left, self._lock = nth, threading.Lock()

    def strike(self, effect: str, *kinds: Kind) -> bool:
        """Count an effect that can fail in some ways; return whether it is to fail now."""
        if self.kind not in kinds:
            return False
        with self._lock:
            self._left -= 1
            if self._left != 0:
                return False
            self.fired = effect
        if self.kind == "memory":
            raise MemoryError(f"{effect}: no memory, as the test wants it")
        return True

    def error(self, path: Path) -> OSError:
        """Return the error of the operating system for this kind of fault."""
        code = _CODES.get(self.kind, errno.EIO)
        return OSError(code, os.strerror(code), str(path))


def each_fault(kind: Kind, *, step: int = 1, at_most: int = 1000) -> Iterator[Faults]:
    """Yield faults for n = 1, 2, …; the last one is that which has not fired by the time the next is requested.

    Args:
        kind: of the faults.
        step: only every step-th effect fails, for work with very many.
        at_most: effects that are expected at most.

    Raises:
        AssertionError: the work has more effects than `at_most`.
    """
    for nth in range(1, at_most + 1, step):
        faults = Faults(nth, kind)
        yield faults
        if faults.fired is None:
            return
    raise AssertionError(f"{at_most} effects and more can fail with {kind}, expected fewer")


def flipped(content: bytes) -> bytes:
    """Return bytes of which one bit in the middle differs; nothing differs where there are none."""
    middle = len(content) // 2
    return content[:middle] + bytes(byte ^ 1 for byte in content[middle : middle + 1]) + content[middle + 1 :]


class FaultyStorage:
    """A storage whose effects can fail, as `Storage`."""

    def __init__(self, storage: Storage, faults: Faults) -> None:
        """Wrap a storage."""
        self._storage, self._faults = storage, faults

    def open(self, files: Sequence[FileEntry], table: Callable[[], RangeTable]) -> "FaultyFiles":
        """See `Storage`."""
        return FaultyFiles(self._storage.open(files, table), self._faults)

    def read(self, name: str, at_most: int) -> bytes:
        """See `Storage`."""
        fails = self._faults.strike("read", "io", "short", "flipped", "memory")
        if fails and self._faults.kind == "io":
            raise self._faults.error(Path(name))
        content = self._storage.read(name, at_most)
        if fails and self._faults.kind == "short":
            return content[: len(content) // 2]
        return flipped(content) if fails else content

    def has(self, name: str) -> bool:
        """See `Storage`."""
        if self._faults.strike("has", "io", "memory"):
            raise self._faults.error(Path(name))
        return self._storage.has(name)

    def create(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """See `Storage`."""
        return _create(lambda: self._storage.create(name), Path(name), self._faults)


class FaultyFiles:
    """Files whose effects can fail, as `Files`."""

    def __init__(self, files: Files, faults: Faults) -> None:
        """Wrap files."""
        self._files, self._faults = files, faults

    def path(self, file: int) -> Path:
        """See `Files`."""
        return self._files.path(file)

    def prepare(self, ranges: Ranges) -> object:
        """See `Files`."""
        if self._faults.strike("prepare", "io", "memory") and len(ranges):
            raise CorruptShard(f"{self.path(int(ranges.file[0]))} cannot be opened: {os.strerror(errno.EIO)}")
        return self._files.prepare(ranges)

    def views(self, ranges: Ranges) -> Views | None:
        """See `Files`."""
        return None if self._faults.strike("views", "io", "memory") else self._files.views(ranges)

    def descriptors(self, ranges: Ranges, prepared: object) -> NDArray[np.int64] | None:
        """See `Files`; one that fails is no descriptor of a file."""
        found = self._files.descriptors(ranges, prepared)
        if self._faults.strike("descriptors", "io", "memory") and found is not None and len(found):
            found[-1] = -1
        return found

    def compared(self, prepared: object) -> bool:
        """See `Files`."""
        return self._files.compared(prepared)

    def bring(self, place: Range, prepared: object) -> bool:
        """See `Files`: what is to fail is left to `fetch`."""
        return False

    def fetch(self, place: Range, buffer: NDArray[np.uint8], prepared: object) -> bool:
        """See `Files`."""
        fails = self._faults.strike("fetch", "io", "short", "flipped", "memory")
        path, kind = self.path(place.file), self._faults.kind
        if fails and kind == "io":
            raise Unreadable(path, f"cannot be read at offset {place.offset} ({os.strerror(errno.EIO)})")
        compared = self._files.fetch(place, buffer, prepared)
        if fails and kind == "short":
            buffer[len(buffer) // 2 :] = 0
            what = f"ends after {len(buffer) // 2} bytes, expected {place.length} at offset {place.offset}"
            raise Unreadable(path, what)
        if fails:
            buffer[len(buffer) // 2] ^= 1
        return compared and not fails

    def doubt(self, place: Range, prepared: object) -> bool:
        """See `Files`: what is to fail stays as it is."""
        return False

    def advise(self, ranges: Ranges) -> None:
        """See `Files`; advice that fails is lost."""
        if not self._faults.strike("advise", "io", "memory"):
            self._files.advise(ranges)

    def advise_files(self, ranges: Ranges) -> None:
        """See `Files`; advice that fails is lost."""
        if not self._faults.strike("advise_files", "io", "memory"):
            self._files.advise_files(ranges)

    def give_up(self) -> None:
        """See `Files`."""
        self._files.give_up()

    def close(self) -> None:
        """See `Files`."""
        self._files.close()


class FaultyCache:
    """A cache that can run out of memory, as `Cache`."""

    def __init__(self, cache: Cache, faults: Faults) -> None:
        """Wrap a cache."""
        self._cache, self._faults = cache, faults

    def views(self, ranges: Ranges) -> Views | None:
        """See `Cache`."""
        return self._cache.views(ranges)

    def wanted(self, ranges: Ranges) -> NDArray[np.bool_]:
        """See `Cache`."""
        return self._cache.wanted(ranges)

    def put(self, number: int, content: NDArray[np.uint8]) -> None:
        """See `Cache`."""
        if self._faults.strike("put", "full", "memory"):
            raise NotEnoughMemory(f"{len(content)} bytes of a record cannot be kept in memory: {os.strerror(28)}")
        self._cache.put(number, content)


@contextmanager
def faulty_writes(faults: Faults) -> Iterator[None]:
    """Let every `atomic_write` of this process be subject to faults while the block runs."""
    create = atomic.atomic_writer.create

    def create_faultily(path: Path) -> AbstractContextManager[IO[bytes]]:
        return _create(lambda: create(path), path, faults)

    atomic.atomic_writer.create = create_faultily
    try:
        yield
    finally:
        atomic.atomic_writer.create = create


@contextmanager
def _create(create: Callable[[], AbstractContextManager[IO[bytes]]], path: Path, faults: Faults) -> Iterator[IO[bytes]]:
    if faults.strike("create", "io", "full"):
        raise faults.error(path)
    with create() as file:
        yield cast(IO[bytes], _FaultyFile(file, path, faults))
        if faults.strike("rename", "io", "full", "lost"):
            raise faults.error(path)
    if faults.strike("sync", "late"):
        raise faults.error(path)


class _FaultyFile:
    """A file whose writes can fail; all else is the file's."""

    def __init__(self, file: IO[bytes], path: Path, faults: Faults) -> None:
        self._file, self._path, self._faults = file, path, faults

    def write(self, data: Any) -> int:
        if self._faults.strike("write", "io", "full", "torn", "memory"):
            if self._faults.kind == "torn":
                view = memoryview(data).cast("B")
                self._file.write(view[: len(view) // 2])
            raise self._faults.error(self._path)
        return self._file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
