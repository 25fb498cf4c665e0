"""The cache of one store: which ranges are at hand, and putting in those that arrived."""

import errno
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import numpy as np
from crc32c import crc32c
from numpy.typing import NDArray

from shards.errors import InvalidValue
from shards.runtime.forks import renew_in_children
from shards.runtime.scratch import ScratchFolder
from shards.storage.base import FileEntry, Ranges, RangeTable
from shards.storage.disk.budget import Budget
from shards.storage.disk.image import CHECKED, HELD, Image
from shards.storage.disk.private import private_bytes

_LOOK_SECONDS: Final = 1.0
"""Seconds after which images that were deleted are closed, at most; until then they take up space on the disk."""
LEAST: Final = 64 << 20
"""Bytes of a cache, at least: less would not hold what a few requests bring."""


class DiskCache:
    """The images of a store's files; safe to share between threads and with forked processes."""

    def __init__(self, folder: Path | None, limit: int | None, files: Sequence[FileEntry], table: RangeTable) -> None:
        """Open the cache.

        Args:
            folder: of the cache; None for one of this process.
            limit: bytes of all images there; default: half of the free space, at most 16 GiB.
            files: of the store.
            table: its ranges.

        Raises:
            InvalidValue: the folder holds something else or cannot be written to, or the limit is too low.
        """
        is_private = folder is None
        if limit is not None and limit < LEAST:
            raise InvalidValue(f"`cache_bytes={limit}`: expected at least {LEAST}")
        self._scratch: ScratchFolder | None = None
        try:
            if folder is None:
                self._scratch = ScratchFolder("cache")
                folder = self._scratch.path
            folder = folder.absolute()
            self._budget = Budget(folder, 0)
            self._budget.limit = limit or private_bytes(folder)
            self._images_folder = folder / table.identity.hex()
            self._images_folder.mkdir(exist_ok=True)
        except OSError as err:
            place = "the folder for temporary files" if is_private else f"`cache_dir={folder}`"
            raise InvalidValue(
                f"{place} cannot hold a cache: {err.strerror or err}; name another with `cache_dir=`"
            ) from err
        self._folder = folder
        self._files, self._table = files, table
        self._images: dict[int, Image] = {}
        self._is_full, self._looked = False, 0.0
        self._counts: NDArray[np.int64] = np.bincount(table.ranges.file, minlength=len(files))
        first = np.cumsum(self._counts) - self._counts
        order = np.argsort(table.ranges.file, kind="stable")
        self._place = np.empty(len(order), np.int32)
        self._place[order] = np.arange(len(order)) - np.repeat(first, self._counts)
        self.renew_after_fork()
        renew_in_children(self)

    def renew_after_fork(self) -> None:
        """See `shards.runtime.forks`."""
        self._lock = threading.Lock()

    @property
    def limit(self) -> int:
        """Bytes that the cache may take up."""
        return self._budget.limit

    def find(self, ranges: Ranges) -> tuple[dict[int, Image], NDArray[np.bool_], bool]:
        """Return the images of the files of ranges, which ranges they hold, and whether all of those are checked.

        The images hold these ranges as long as there are references to them.
        """
        held, checked = np.zeros(len(ranges), np.bool_), True
        self._close_deleted()
        images: dict[int, Image] = {}
        files, where = np.unique(ranges.file, return_inverse=True)
        order = np.argsort(where, kind="stable")
        cuts = np.searchsorted(where[order], np.arange(len(files) + 1))
        places = self._place[ranges.number]
        for i, file in enumerate(files.tolist()):
            if (image := self._image(file)) is None:
                continue
            images[file] = image
            which = order[cuts[i] : cuts[i + 1]]
            state = image.state[places[which]]
            if not state.all():
                image.refresh()
                state = image.state[places[which]]
            held[which] = state != 0
            checked = checked and bool((state[state != 0] == CHECKED).all())
            image.touch()
        return images, held, checked

    def read(self, image: Image, number: int, offset: int, buffer: NDArray[np.uint8]) -> bool:
        """Read a range that an image holds; return False if it does not hold it any more, or not rightly."""
        place = int(self._place[number])
        if not image.read(offset, buffer):
            image.drop(place)
            return False
        if image.state[place] != CHECKED:
            if crc32c(buffer) != self._table.crc32c[number]:
                image.drop(place)
                return False
            image.state[place] = CHECKED
        return True

    def doubt(self, image: Image, number: int) -> bool:
        """Have a range of an image compared with its checksum again; return whether this process has done so."""
        place = int(self._place[number])
        if image.state[place] != CHECKED:
            return False
        image.state[place] = HELD
        return True

    @contextmanager
    def room(self, file: int, size: int, *, evict: bool) -> Iterator[Image | None]:
        """Provide the image of a file, with room for bytes while the block runs; None if the cache has none.

        Args:
            file: number of the file.
            size: bytes that are written there at most, in one stretch of the file.
            evict: delete images for it if need be.
        """
        if not self._reserve(size, evict=evict):
            yield None
            return
        try:
            yield self._image(file)
        finally:
            try:
                self._budget.spent(size)
            except OSError as err:
                self._fail(err)

    def _reserve(self, size: int, *, evict: bool) -> bool:
        if self._is_full:
            return False
        try:
            return self._budget.reserve(size, evict=evict)
        except OSError as err:
            self._fail(err)
            return False
        finally:
            self._close_deleted(now=evict)

    def _close_deleted(self, *, now: bool = False) -> None:
        """Close images that this process or another has deleted, for their space is free only then."""
        if not now and time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        with self._lock:
            self._looked = time.monotonic()
            for file in [file for file, image in self._images.items() if image.is_deleted()]:
                del self._images[file]

    def write(self, image: Image, offset: int, parts: Sequence[memoryview]) -> bool:
        """Write bytes for which there is room, in parts that are contiguous; return whether the disk took them."""
        if self._is_full:
            return False
        try:
            image.write(offset, parts)
        except OSError as err:
            self._fail(err)
            return False
        return True

    def hold(self, image: Image, numbers: NDArray[np.int64]) -> bool:
        """Say that ranges, by their numbers, are in an image and right; return whether the disk took that."""
        try:
            image.hold(np.sort(self._place[numbers].astype(np.int64)))
        except OSError as err:
            self._fail(err)
            return False
        return True

    def _fail(self, err: OSError) -> None:
        with self._lock:
            was_full, self._is_full = self._is_full, True
        if was_full:
            return
        what = "is full" if err.errno in (errno.ENOSPC, errno.EDQUOT) else f"fails ({err.strerror})"
        warnings.warn(f"the disk of the cache in {self._folder} {what}; nothing more is stored there", stacklevel=3)

    def _image(self, file: int) -> Image | None:
        image = self._images.get(file)
        if image is not None and not image.is_deleted():
            return image
        with self._lock:
            if image is self._images.get(file):
                self._images.pop(file, None)
                with suppress(OSError):
                    path = self._images_folder / str(file)
                    self._images[file] = Image(path, self._files[file].size_bytes, int(self._counts[file]))
            return self._images.get(file)

    def close(self) -> None:
        """Close all images, and delete a cache of this process; closing twice is harmless."""
        with self._lock:
            self._images.clear()
        self._budget.close()
        if self._scratch is not None:
            self._scratch.close()
