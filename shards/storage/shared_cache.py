"""The cache in shared memory: which ranges of a store are to be kept, and whether there is memory for them."""

import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shards.errors import InvalidValue, NotEnoughMemory
from shards.runtime.forks import renew_in_children
from shards.runtime.memory import available_bytes
from shards.storage.base import Ranges, Views
from shards.storage.shared import FOREIGN, KEPT, WANTED, SharedRanges

_SOURCE: Final = -1
"""Number of the memory in views, which no file has."""


class SharedCache:
    """The shared memory of a store, as `Cache`: made when it is first asked for; safe to share between threads.

    A forked process uses the same memory.

    Attributes:
        records: the memory; None before the first record is kept.
    """

    def __init__(self, folder: Path, identity: bytes, lengths: NDArray[np.int32]) -> None:
        """Say what there is to keep.

        Args:
            folder: directory of the store.
            identity: 32 bytes that only stores with the same records share.
            lengths: (ranges,) int32, bytes of each range of the store.
        """
        self.records: SharedRanges | None = None
        self._begin: NDArray[np.int64] = np.empty(0, np.int64)
        self._folder, self._identity, self._lengths = folder, identity, lengths
        self.renew_after_fork()
        renew_in_children(self)

    def renew_after_fork(self) -> None:
        """See `shards.runtime.forks`."""
        self._lock = threading.Lock()

    def open(self, handle: str | None = None) -> SharedRanges:
        """Return the memory, made here if there is none yet, or that of another process.

        Raises:
            ShardError: the handle is not that of this store's records in a living process of this user.
            ValueError: there is a handle, but records are kept already.
        """
        with self._lock:
            return self._open(handle)

    def _open(self, handle: str | None = None) -> SharedRanges:
        what = self._identity, len(self._lengths), self._size(slice(None))
        if not len(self._begin):
            self._begin = np.cumsum(self._lengths, dtype=np.int64) - self._lengths
        if handle is not None:
            if self.records is not None:
                raise InvalidValue("the store keeps records in memory already, expected none before that of others")
            self.records = SharedRanges.attach(handle, *what)
        elif self.records is None:
            self.records = SharedRanges.create(*what)
        return self.records

    def want(self, numbers: NDArray[np.int64], what: str, reserve: int = 0) -> None:
        """Have ranges kept from when they are first read.

        Args:
            numbers: (n,) int64, distinct.
            what: what they are, for the error.
            reserve: bytes that must be left besides them.

        Raises:
            NotEnoughMemory: there is too little for them and for those that wait to be read; none is added.
        """
        # Two that ask at the same time would both count on the same memory.
        with self._lock, nullcontext() if self.records is None else self.records.exclusive():
            if self.records is not None:
                numbers = numbers[self.records.state[numbers] == FOREIGN]
            needed, left, waiting = self._size(numbers), self.memory_left(), self._waiting()
            if needed > left - reserve:
                raise NotEnoughMemory(
                    f"{self._folder}: keeping {what} takes {needed:,} bytes of memory, "
                    f"but {left:,} are available"
                    + (f" besides {waiting:,} for others that are to be kept but not read yet" if waiting else "")
                    + (f", and the network and its batches will take {reserve:,}" if reserve else "")
                )
            self._open().want(numbers)

    def memory_left(self) -> int:
        """Return the bytes that this process can still take, less what numbers will that wait to be read."""
        return max(0, available_bytes() - self._waiting())

    def views(self, ranges: Ranges) -> Views | None:
        """See `Cache`."""
        if (records := self.records) is None:
            return None
        begin = self._begin[ranges.number]
        held = (records.state[ranges.number] == KEPT) & (ranges.length >= 0)
        held &= begin <= len(records.bytes) - ranges.length
        return Views(
            ranges,
            {_SOURCE: records.bytes},
            np.full(len(ranges), _SOURCE),
            begin,
            np.where(held, np.uint64(records.address) + begin.astype(np.uint64), np.uint64(0)),
        )

    def wanted(self, ranges: Ranges) -> NDArray[np.bool_]:
        """See `Cache`."""
        if (records := self.records) is None:
            return np.zeros(len(ranges), np.bool_)
        is_wanted: NDArray[np.bool_] = records.state[ranges.number] == WANTED
        return is_wanted

    def put(self, number: int, content: NDArray[np.uint8]) -> None:
        """See `Cache`.

        Raises:
            NotEnoughMemory: there is no memory left for it.
            ValueError: the cache was closed.
        """
        if (records := self.records) is None:
            raise ValueError("the store is closed, expected it open")
        records.put(number, int(self._begin[number]), content)

    def _waiting(self) -> int:
        return 0 if self.records is None else self._size(self.records.state == WANTED)

    def _size(self, numbers: NDArray[np.int64] | NDArray[np.bool_] | slice) -> int:
        return int(self._lengths[numbers].sum(dtype=np.int64))

    def close(self) -> None:
        """Release the memory; closing twice is harmless."""
        records, self.records = self.records, None
        if records is not None:
            records.close()
