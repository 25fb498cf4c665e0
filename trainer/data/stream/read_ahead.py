"""Hints to the kernel to read ahead of the loader, so that a disk has more to do than threads wait for."""

from collections.abc import Callable
from contextlib import suppress
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shards import CorruptShard, Store
from trainer.data.order import Epoch, Kind

BLOCK_PATCHES: Final = 16_384
"""Patches ahead whose shards order `block` has read into the page cache: eight full shards, a window."""
PATCHES: Final = 512
"""Records ahead that the other orders have read into it, on each rank: enough for a disk's queue."""


class ReadAhead:
    """Tells the kernel of an epoch's reads, batch by batch."""

    def __init__(
        self,
        store: Store,
        order: Epoch,
        kind: Kind,
        *,
        rank: int = 0,
        num_ranks: int = 1,
        unread: Callable[[NDArray[np.int64]], NDArray[np.int64]] = lambda rows: rows,
    ) -> None:
        """Say what will be read.

        Args:
            store: what from.
            order: of the epoch.
            kind: which order that is.
            rank: number of this process, from 0.
            num_ranks: processes that share each batch.
            unread: says which of some rows have to be read.
        """
        self._store, self._order, self._kind = store, order, kind
        self._rank, self._num_ranks, self._unread = rank, num_ranks, unread
        self._shards = np.zeros(0, np.int32)
        self._steps = 0

    def before(self, step: int) -> None:
        """Tell of what comes soon; call it before each batch is read, with ascending numbers."""
        # A file that is absent, or of another size, is an error of the batch that reads it.
        with suppress(CorruptShard):
            if self._kind == "block":
                self._tell_shards(step)
            else:
                self._tell_records(step)

    def _tell_shards(self, step: int) -> None:
        start, size = step * self._order.batch_size, BLOCK_PATCHES + self._order.batch_size
        ahead = self._order.rows[start : start + size]
        shard_of = self._store.shard_of(ahead)
        shards = np.unique(shard_of)
        new = np.setdiff1d(shards, self._shards)
        if len(new):
            self._store.will_need(self._unread(ahead[np.isin(shard_of, new)]))
        self._shards = shards

    def _tell_records(self, step: int) -> None:
        ahead = -(-PATCHES * self._num_ranks // self._order.batch_size)
        steps = range(max(step, self._steps), min(step + ahead + 1, len(self._order)))
        self._steps = max(self._steps, steps.stop)
        for soon in steps:
            rows, _ = self._order.part(soon, self._rank, self._num_ranks)
            self._store.will_read(self._unread(rows))
