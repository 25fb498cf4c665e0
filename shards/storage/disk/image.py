"""The image of one file of a store: the ranges of it that were fetched, at the offsets that they have there."""

import os
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shards.storage.atomic import TEMPORARY_SUFFIX
from shards.storage.safe_open import check_regular

ABSENT: Final = 0
HELD: Final = 1
"""State of a range that some process has written."""
CHECKED: Final = 2
"""State, in this process only, of a range that it has written itself or compared with its CRC-32C."""

_PAGE: Final = 4096
_PARTS: Final = 512
"""Parts of a call; the kernel takes at most 1,024 (IOV_MAX)."""
_TOUCH_SECONDS: Final = 5.0


class Image:
    """An open image; safe to share between threads, and with forked processes.

    Its descriptor is closed with the last reference, so whoever reads by it holds one.

    Attributes:
        descriptor: of the file.
        state: (ranges,) uint8, of each range of the file; what is `ABSENT` here may have come by other processes.
    """

    def __init__(self, path: Path, size_bytes: int, num_ranges: int) -> None:
        """Open an image, or make one.

        Args:
            path: of the image, in a folder that exists.
            size_bytes: of the file that it is an image of.
            num_ranges: ranges of that file.

        Raises:
            OSError: it can be neither opened nor made.
        """
        self._states = -(-size_bytes // _PAGE) * _PAGE
        self.state: NDArray[np.uint8] = np.zeros(num_ranges, np.uint8)
        self._touched = 0.0
        self.descriptor = self._open(path, self._states + num_ranges)

    def _open(self, path: Path, length: int) -> int:
        for _ in range(10):
            with suppress(FileNotFoundError):
                descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
                try:
                    if check_regular(descriptor, path).st_size == length:
                        return descriptor
                except BaseException:
                    os.close(descriptor)
                    raise
                os.close(descriptor)
                path.unlink(missing_ok=True)
            temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}{TEMPORARY_SUFFIX}")
            descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                os.truncate(descriptor, length)
                # Another process may have been first; a rename would take its ranges away.
                os.link(temporary, path)
            except FileExistsError:
                os.close(descriptor)
            except BaseException:
                os.close(descriptor)
                raise
            else:
                return descriptor
            finally:
                os.unlink(temporary)
        raise OSError(f"{path} is made and deleted by others all the time")

    def __del__(self) -> None:
        if (descriptor := getattr(self, "descriptor", -1)) >= 0:
            os.close(descriptor)

    def is_deleted(self) -> bool:
        """Return whether the image was deleted, so that it takes up space for nobody but who has it open."""
        try:
            return os.fstat(self.descriptor).st_nlink == 0
        except OSError:  # It lay on a file system that is gone.
            return True

    def touch(self) -> None:
        """Say that the image is in use."""
        if (now := time.monotonic()) - self._touched > _TOUCH_SECONDS:
            self._touched = now
            with suppress(OSError):
                os.utime(self.descriptor)

    def refresh(self) -> None:
        """Learn which ranges other processes have written."""
        try:
            found = np.frombuffer(os.pread(self.descriptor, len(self.state), self._states), np.uint8)
        except OSError:
            return
        if len(found) == len(self.state):
            self.state[(self.state == ABSENT) & (found == HELD)] = HELD

    def read(self, offset: int, buffer: NDArray[np.uint8]) -> bool:
        """Read bytes of the file; return whether they could all be read."""
        try:
            return os.preadv(self.descriptor, [buffer], offset) == len(buffer)
        except OSError:
            return False

    def write(self, offset: int, parts: Sequence[memoryview]) -> None:
        """Write bytes of the file.

        Args:
            offset: of the first byte.
            parts: contiguous in the file.

        Raises:
            OSError: there is no space, or the disk fails.
        """
        rest = list(parts)
        while rest:
            count = os.pwritev(self.descriptor, rest[:_PARTS], offset)
            offset += count
            while rest and count >= len(rest[0]):
                count -= len(rest.pop(0))
            if rest:
                rest[0] = rest[0][count:]

    def hold(self, ranges: NDArray[np.int64]) -> None:
        """Say that ranges, by their ascending numbers in the file, are written and right."""
        for run in np.split(ranges, np.flatnonzero(np.diff(ranges) != 1) + 1):
            os.pwrite(self.descriptor, bytes([HELD]) * len(run), self._states + int(run[0]))
        self.state[ranges] = CHECKED

    def drop(self, number: int) -> None:
        """Say that a range is not as it should be."""
        self.state[number] = ABSENT
        with suppress(OSError):
            os.pwrite(self.descriptor, bytes([ABSENT]), self._states + number)
