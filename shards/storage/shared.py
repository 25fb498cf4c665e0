"""Encoded records in shared memory, so that several processes of a machine read files once and keep one copy.

The memory is an anonymous file (`memfd_create(2)`), which goes when the last process that uses it does, however that
ends. It is as long as all records of the store, but takes memory only where records were put. Other processes of the
same user open it through /proc. Layout: header, one state byte a piece of the store, and from the next page on the
pieces, one behind the other in index order.
"""

import fcntl
import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shards.errors import NotEnoughMemory, ShardError

FOREIGN: Final = 0
"""State of a piece that is not to be kept."""
WANTED: Final = 1
"""State of a piece that is to be kept as soon as it is read."""
KEPT: Final = 2
"""State of a piece whose bytes are there."""

_HEADER: Final = struct.Struct("<8s32sQQ")  # magic, identity of the store, pieces, bytes of all pieces
_MAGIC: Final = b"BEPKEPT\x01"
_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class KeptRecords:
    """Shared memory for the encoded pieces of a store.

    Processes may store a piece at the same time, for they write the same bytes. Its state is written after them: system
    calls and the interpreter lock between the two keep that order on any processor.

    Attributes:
        handle: path by which other processes of the user find it while this one lives.
        state: (pieces,) uint8, `FOREIGN`, `WANTED` or `KEPT`; shared and writable.
        data: bytes of all pieces, shared and read-only; those of a piece whose state is not `KEPT` mean nothing.
        bytes: the same as uint8.
        address: of the first of them.
    """

    def __init__(self, descriptor: int, num_pieces: int, size_bytes: int) -> None:
        """Map memory that has the right length; the descriptor is closed by `close`."""
        self._descriptor = descriptor
        self._start = start = _data_start(num_pieces)
        self.handle = f"/proc/{os.getpid()}/fd/{descriptor}"
        memory = memoryview(mmap.mmap(descriptor, start + size_bytes))
        self.state: NDArray[np.uint8] = np.frombuffer(memory, np.uint8, num_pieces, _HEADER.size)
        self.data = memory[start:].toreadonly()
        self.bytes: NDArray[np.uint8] = np.frombuffer(self.data, np.uint8)
        self.address: int = self.bytes.ctypes.data

    @classmethod
    def create(cls, identity: bytes, num_pieces: int, size_bytes: int) -> "KeptRecords":
        """Make the memory, in which nothing is to be kept yet.

        Args:
            identity: 32 bytes that only stores with the same records share.
            num_pieces: pieces of the store.
            size_bytes: bytes of all of them.
        """
        descriptor = os.memfd_create("bep-records", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.truncate(descriptor, _data_start(num_pieces) + size_bytes)
            # A mapping of a file that is cut off kills who reads it; this one cannot be.
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
            os.pwrite(descriptor, _HEADER.pack(_MAGIC, identity, num_pieces, size_bytes), 0)
            return cls(descriptor, num_pieces, size_bytes)
        except BaseException:
            os.close(descriptor)
            raise

    @classmethod
    def attach(cls, handle: str, identity: bytes, num_pieces: int, size_bytes: int) -> "KeptRecords":
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
            if header != _HEADER.pack(_MAGIC, identity, num_pieces, size_bytes) or not _is_sealed(descriptor):
                what = "another store" if header.startswith(_MAGIC) else "something else"
                raise ShardError(f"{handle} holds {what}, expected the shared records of this store")
            return cls(descriptor, num_pieces, size_bytes)
        except BaseException:
            os.close(descriptor)
            raise

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold what one process at a time can hold, not one thread; a process that ends lets go of it."""
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN)

    def want(self, pieces: NDArray[np.int64]) -> None:
        """Mark pieces to be kept; those that are marked already stay as they are."""
        self.state[pieces[self.state[pieces] == FOREIGN]] = WANTED

    def put(self, piece: int, place: int, content: memoryview) -> None:
        """Store the bytes of a piece.

        Raises:
            NotEnoughMemory: there is no memory left for them.
        """
        # Through the descriptor, for memory that is first touched through the mapping costs a page fault each 4 KiB.
        try:
            count = os.pwrite(self._descriptor, content, self._start + place)
        except OSError as err:
            raise NotEnoughMemory(f"{len(content)} bytes of a record cannot be kept in memory: {err.strerror}") from err
        if count != len(content):
            raise NotEnoughMemory(f"only {count} of {len(content)} bytes of a record can be kept in memory")
        self.state[piece] = KEPT

    def close(self) -> None:
        """Let go of the descriptor; the memory goes when no thread and no other process uses it any more."""
        os.close(self._descriptor)


def _data_start(num_pieces: int) -> int:
    return -(-(_HEADER.size + num_pieces) // mmap.PAGESIZE) * mmap.PAGESIZE


def _is_sealed(descriptor: int) -> bool:
    try:
        return fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & _SEALS == _SEALS
    except OSError:  # Not an anonymous file.
        return False
