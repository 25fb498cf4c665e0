"""Records that a store keeps in memory, which several processes can share."""

import numpy as np
from numpy.typing import ArrayLike

from shards.layout.record import S2
from shards.read.groups import Readers
from shards.storage.shared_cache import SharedCache


class MemorySharing:
    """The methods of `Store` that have records kept in memory."""

    _readers: Readers
    _cache: SharedCache

    def keep_in_memory(self, indices: ArrayLike, *, group: str = S2, reserve_bytes: int = 0) -> None:
        """Keep the stored bytes of these rows in memory from when they are first read, by whichever method.

        Reads of them touch no file from then on. Memory is taken as they are read; `close` frees it. To keep one copy
        for several processes, see `memory_handle`.

        Args:
            indices: (n,) rows of the index; they add to those of earlier calls.
            group: name of a further group, whose bytes are to be kept instead of those of the Sentinel-2 record.
            reserve_bytes: bytes that must be left besides them, for what the program takes later.

        Raises:
            IndexError: an index is out of range.
            NotEnoughMemory: the rows need more than `memory_left` less the reserve; no row is added.
        """
        extents = self._readers.of(group).extents
        rows = np.unique(extents.rows(indices))
        self._cache.want(
            extents.numbers(rows), f"{len(rows):,} {'' if group == S2 else f'{group} '}records", reserve_bytes
        )

    def memory_left(self) -> int:
        """Return the bytes that `keep_in_memory` can still promise.

        That is what this process can take without being ended, less what rows that are to be kept but were not read yet
        will take, in whichever process they were promised.
        """
        return self._cache.memory_left()

    def memory_handle(self) -> str:
        """Return what other processes of this user pass to `attach_memory`, to use one memory with this one.

        It holds as long as this store is open.
        """
        return self._cache.open().handle

    def attach_memory(self, handle: str) -> None:
        """Use the memory of another process: what one of them has read is there for all, and rows to be kept likewise.

        It stays until the last of them closes it or ends, in whatever way.

        Args:
            handle: from `memory_handle` in a process that has the same store open.

        Raises:
            ShardError: the handle is not that of this store's records in a living process of this user.
            ValueError: this store has memory of its own already.
        """
        self._cache.open(handle)
