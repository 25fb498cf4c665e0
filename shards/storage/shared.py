"""Ranges of a store's files in shared memory, so that the processes of a machine read files once and keep one copy.

The memory is an anonymous file (`memfd_create(2)`), which goes when the last process that uses it does, however that
ends. It is as long as all ranges of the store, but takes memory only where some were put. Other processes of the
same user open it through /proc. Layout: header, one state byte a range of the store, and from the next page on the
ranges, contiguous, in the order of their numbers.
"""

import fcntl
import mmap
import os
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shards.errors import NotEnoughMemory, ShardError

FOREIGN: Final = 0
"""State of a range that is not to be kept."""
WANTED: Final = 1
"""State of a range that is to be kept as soon as it is read."""
KEPT: Final = 2
"""State of a range whose bytes are there."""

_HEADER: Final = struct.Struct("<8s32sQQ")  # magic, identity of the store, ranges, bytes of all ranges
_MAGIC: Final = b"BEPKEPT\x01"
_SEALS: Final = sum(getattr(fcntl, f"F_SEAL_{name}", 0) for name in ("SHRINK", "GROW", "SEAL"))


class SharedRanges:
    """Shared memory for the ranges of a store.

    Processes may store a range at the same time, for they write the same bytes. Its state is written after them: system
    calls and the interpreter lock between the two keep that order on any processor.

    Attributes:
        handle: path by which other processes of the user find it while this one lives.
        state: (ranges,) uint8, `FOREIGN`, `WANTED` or `KEPT`; shared and writable.
        bytes: of all ranges, uint8, shared and read-only; those of a range whose state is not `KEPT` mean nothing.
        address: of the first of them.
    """

    def __init__(self, descriptor: int, num_ranges: int, size_bytes: int) -> None:
        """Map memory that has the right length; the descriptor is closed by `close`."""
        self._descriptor = descriptor
        self._start = start = _data_start(num_ranges)
        self.handle = f"/proc/{os.getpid()}/fd/{descriptor}"
        memory = memoryview(mmap.mmap(descriptor, start + size_bytes))
        self.state: NDArray[np.uint8] = np.frombuffer(memory, np.uint8, num_ranges, _HEADER.size)
        self.bytes: NDArray[np.uint8] = np.frombuffer(memory[start:].toreadonly(), np.uint8)
        self.address: int = self.bytes.ctypes.data

    @classmethod
    def create(cls, identity: bytes, num_ranges: int, size_bytes: int) -> "SharedRanges":
        """Make the memory, in which nothing is to be kept yet.

        Args:
            identity: 32 bytes that only stores with the same records share.
            num_ranges: ranges of the store.
            size_bytes: bytes of all of them.

        Raises:
            ShardError: the system has no anonymous files, as macOS.
        """
        if not hasattr(os, "memfd_create"):
            raise ShardError(f"`cache=ram` needs memfd_create(2), which {sys.platform} has not; leave it out")
        descriptor = os.memfd_create("bep-records", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.truncate(descriptor, _data_start(num_ranges) + size_bytes)
            # A mapping of a file that is cut off kills who reads it; this one cannot be.
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
            os.pwrite(descriptor, _HEADER.pack(_MAGIC, identity, num_ranges, size_bytes), 0)
            return cls(descriptor, num_ranges, size_bytes)
        except BaseException:
            os.close(descriptor)
            raise

    @classmethod
    def attach(cls, handle: str, identity: bytes, num_ranges: int, size_bytes: int) -> "SharedRanges":
        """Use the memory of another process; arguments as in `create`, and its `handle`.

        Raises:
            ShardError: it is gone, is not this user's, or belongs to another store.
        """
        try:
            descriptor = os.open(handle, os.O_RDWR | os.O_CLOEXEC)
        except OSError as err:
            raise ShardError(
                f"{handle} cannot be opened ({err.strerror}), expected the shared records of a living process of this "
                "user"
            ) from err
        try:
            header = os.pread(descriptor, _HEADER.size, 0)
            if header != _HEADER.pack(_MAGIC, identity, num_ranges, size_bytes) or not _is_sealed(descriptor):
                what = "another store" if header.startswith(_MAGIC) else "something else"
                raise ShardError(f"{handle} holds {what}, expected the shared records of this store")
            return cls(descriptor, num_ranges, size_bytes)
        except BaseException:
            os.close(descriptor)
            raise

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold a lock that excludes other processes, but not other threads; a process that ends releases it."""
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN)

    def want(self, numbers: NDArray[np.int64]) -> None:
        """Mark ranges to be kept; those that are marked already stay as they are."""
        self.state[numbers[self.state[numbers] == FOREIGN]] = WANTED

    def put(self, number: int, begin: int, content: NDArray[np.uint8]) -> None:
        """Store the bytes of a range.

        Raises:
            NotEnoughMemory: there is no memory left for them.
        """
        # Through the descriptor, for memory that is first touched through the mapping costs a page fault each 4 KiB.
        try:
            count = os.pwrite(self._descriptor, content, self._start + begin)
        except OSError as err:
            raise NotEnoughMemory(f"{len(content)} bytes of a record cannot be kept in memory: {err.strerror}") from err
        if count != len(content):
            raise NotEnoughMemory(f"only {count} of {len(content)} bytes of a record can be kept in memory")
        self.state[number] = KEPT

    def close(self) -> None:
        """Release the descriptor; the memory is freed when no thread and no other process uses it any more."""
        os.close(self._descriptor)


def _data_start(num_ranges: int) -> int:
    return -(-(_HEADER.size + num_ranges) // mmap.PAGESIZE) * mmap.PAGESIZE


def _is_sealed(descriptor: int) -> bool:
    try:
        return fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & _SEALS == _SEALS
    except OSError:  # Not an anonymous file.
        return False
