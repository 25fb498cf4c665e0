"""The bytes that all images of a cache take up, over all processes, and which are deleted for others."""

import fcntl
import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from shards.errors import InvalidValue
from shards.storage.atomic import TEMPORARY_SUFFIX, make_folder

USERS: Final = "users"
"""File that every process with the cache open has locked, shared."""
_USAGE: Final = "usage"
_COUNTS: Final = struct.Struct("<qq")  # bytes that images take up, bytes that are about to be written
_STORE: Final = re.compile(r"[0-9a-f]{64}")
_IMAGE: Final = re.compile(r"\d+")
_BLOCK: Final = 512
"""Bytes of a block of `st_blocks`, see stat(2)."""
_LONG: Final = 8
"""An eighth of the cache is what writes that take long may reserve together."""
SLACK: Final = 8192
"""Bytes that a write takes up beyond its own: the rest of its first and of its last page."""


class Budget:
    """The bytes of a cache; safe to share between threads and processes.

    Attributes:
        folder: of the cache.
        limit: bytes that it may take up.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        """Open the cache in a folder, which is made if need be.

        Raises:
            InvalidValue: the folder holds something else.
            OSError: it can be neither made nor written to.
        """
        self.folder, self.limit = folder, limit
        make_folder(folder)
        if strangers := [name for name in os.listdir(folder) if not _is_ours(name)]:
            raise InvalidValue(
                f"{folder} holds {min(strangers)!r} and is no cache of bep; name a new or an empty folder"
            )
        self._users = os.open(folder / USERS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with suppress(OSError):  # Others have it open, so their counts hold.
            fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for path in folder.glob(f"*/.*{TEMPORARY_SUFFIX}"):
                path.unlink(missing_ok=True)
            with self._counts() as counts:
                counts[:] = [sum(size for _, size, _ in self._images()), 0]
        fcntl.flock(self._users, fcntl.LOCK_SH)

    @contextmanager
    def _counts(self) -> Iterator[list[int]]:
        """Hold the counts: bytes taken up, and bytes about to be written."""
        # A descriptor of its own each time: threads and forked processes that share one would not wait for each other.
        descriptor = os.open(self.folder / _USAGE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            raw = os.pread(descriptor, _COUNTS.size, 0)
            counts = list(_COUNTS.unpack(raw)) if len(raw) == _COUNTS.size else [0, 0]
            yield counts
            os.pwrite(descriptor, _COUNTS.pack(*(max(count, 0) for count in counts)), 0)
        finally:
            # Not by closing alone: a process that was forked meanwhile holds a copy of the descriptor.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def reserve(self, size: int, *, evict: bool = True) -> bool:
        """Make room for a write; return whether there is some.

        Args:
            size: of the write in bytes; `SLACK` is added.
            evict: delete images if need be. Without, the write may take long, and gets room within a fixed share only:
                what killed processes had reserved is lost to the others until none of them has the cache open.
        """
        size += SLACK
        with self._counts() as counts:
            if not evict and counts[1] + size > self.limit // _LONG:
                return False
            if evict and counts[0] + counts[1] + size > self.limit:
                counts[0] = self._evict(self.limit - counts[1] - size)
            if counts[0] + counts[1] + size > self.limit:
                return False
            counts[1] += size
            return True

    def spent(self, size: int) -> None:
        """Say that what was reserved is written, or was given up."""
        with self._counts() as counts:
            counts[0] += size + SLACK
            counts[1] -= size + SLACK

    def used(self) -> int:
        """Return the bytes that images take up."""
        return sum(size for _, size, _ in self._images())

    def _evict(self, at_most: int) -> int:
        """Delete images, those first that were used least lately, until no more bytes are left; return how many are."""
        images = sorted(self._images(), key=lambda image: image[2])
        total = sum(size for _, size, _ in images)
        for path, size, _ in images:
            if total <= at_most:
                break
            with suppress(OSError):
                path.unlink()
                total -= size
        return total

    def _images(self) -> Iterator[tuple[Path, int, float]]:
        """Yield path, bytes and time of the last use of each image."""
        for store in os.scandir(self.folder):
            if not _STORE.fullmatch(store.name) or not store.is_dir(follow_symlinks=False):
                continue
            with suppress(FileNotFoundError):
                yield from _images_in(store.path)

    def close(self) -> None:
        """Close the cache; closing twice is harmless."""
        users, self._users = self._users, -1
        if users >= 0:
            os.close(users)


def _images_in(folder: str) -> Iterator[tuple[Path, int, float]]:
    for image in os.scandir(folder):
        with suppress(FileNotFoundError):
            if _IMAGE.fullmatch(image.name) and image.is_file(follow_symlinks=False):
                status = image.stat(follow_symlinks=False)
                yield Path(image.path), status.st_blocks * _BLOCK, status.st_mtime


def _is_ours(name: str) -> bool:
    return name in (USERS, _USAGE) or _STORE.fullmatch(name) is not None
