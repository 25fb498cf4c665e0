"""Which records of a store are to be kept in memory, and whether there is memory for them."""

import threading
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shards.errors import InvalidValue, NotEnoughMemory
from shards.runtime.forks import renew_in_children
from shards.runtime.memory import available_bytes
from shards.storage.shared import FOREIGN, WANTED, KeptRecords


class Keeping:
    """The memory of a store, made when it is first asked for; safe to share between threads.

    A forked process uses the same memory.

    Attributes:
        records: the memory; None if there is none yet.
    """

    def __init__(self, folder: Path, identity: bytes, lengths: NDArray[np.int32]) -> None:
        """Say what there is to keep.

        Args:
            folder: directory of the store.
            identity: 32 bytes that only stores with the same records share.
            lengths: (pieces,) int32, encoded bytes.
        """
        self.records: KeptRecords | None = None
        self._folder, self._identity, self._lengths = folder, identity, lengths
        self.renew_after_fork()
        renew_in_children(self)

    def renew_after_fork(self) -> None:
        """See `shards.runtime.forks`."""
        self._lock = threading.Lock()

    def open(self, handle: str | None = None) -> KeptRecords:
        """Return the memory, made here if there is none yet, or that of another process.

        Raises:
            ShardError: the handle is not that of this store's records in a living process of this user.
            ValueError: there is a handle, but records are kept already.
        """
        with self._lock:
            return self._open(handle)

    def _open(self, handle: str | None = None) -> KeptRecords:
        what = self._identity, len(self._lengths), self._size(slice(None))
        if handle is not None:
            if self.records is not None:
                raise InvalidValue("the store keeps records in memory already, expected none before that of others")
            self.records = KeptRecords.attach(handle, *what)
        elif self.records is None:
            self.records = KeptRecords.create(*what)
        return self.records

    def want(self, pieces: NDArray[np.int64], num_rows: int) -> None:
        """Have the distinct pieces of some rows kept from when they are first read.

        Raises:
            NotEnoughMemory: there is too little for them and for those that wait to be read; none is added.
        """
        # Two that ask at the same time would both count on the same memory.
        with self._lock, nullcontext() if self.records is None else self.records.exclusive():
            if self.records is not None:
                pieces = pieces[self.records.state[pieces] == FOREIGN]
            needed, left, waiting = self._size(pieces), self.memory_left(), self._waiting()
            if needed > left:
                raise NotEnoughMemory(
                    f"{self._folder}: keeping {num_rows:,} records takes {needed:,} bytes of memory, "
                    f"but {left:,} are available"
                    + (f" besides {waiting:,} for others that are to be kept but not read yet" if waiting else "")
                )
            self._open().want(pieces)

    def memory_left(self) -> int:
        """Return the bytes that this process can still take, less what pieces will that wait to be read."""
        return max(0, available_bytes() - self._waiting())

    def _waiting(self) -> int:
        return 0 if self.records is None else self._size(self.records.state == WANTED)

    def _size(self, pieces: NDArray[np.int64] | NDArray[np.bool_] | slice) -> int:
        return int(self._lengths[pieces].sum(dtype=np.int64))

    def close(self) -> None:
        """Let go of the memory; closing twice is harmless."""
        records, self.records = self.records, None
        if records is not None:
            records.close()
