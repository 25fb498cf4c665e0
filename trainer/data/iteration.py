"""One pass over batches: a thread that reads, a thread that prepares, and the channels between them."""

import threading
from collections.abc import Generator
from contextlib import closing
from typing import Final

from shards.errors import InvalidValue
from shards.forks import renew_in_children
from trainer.data.batch import Batch, HostBatch
from trainer.data.buffers import Buffers
from trainer.data.channel import Channel
from trainer.data.preparation import Preparation

READ_AHEAD: Final = 2
"""Batches that are ready in host memory before the preparation takes them."""
READY: Final = 2
"""Batches that are ready on the device."""


class Iteration:
    """The two threads of one iteration and the channels between them.

    A host buffer goes round: free → being filled → read by the preparation → free, once its batch is on the device.
    """

    def __init__(self, preparation: Preparation, batches: Generator[HostBatch, None, None], buffers: Buffers) -> None:
        self.ready: Channel[Batch] = Channel(READY)
        self._filled: Channel[HostBatch] = Channel(READ_AHEAD)
        self._threads = [
            threading.Thread(target=self._read, args=(batches,), name="loader-read", daemon=True),
            threading.Thread(target=self._prepare, args=(preparation, buffers), name="loader-prepare", daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        renew_in_children(self)

    def renew_after_fork(self) -> None:
        """See `shards.forks`: both threads are the parent's, and so are the batches that they make."""
        self._threads = []
        self.ready, self._filled = Channel(READY), Channel(READ_AHEAD)
        self.ready.finish(InvalidValue("an iteration that another process has begun cannot go on here: begin one anew"))

    def close(self) -> None:
        """Stop both threads and wait for them; closing twice is harmless."""
        for channel in (self.ready, self._filled):
            channel.cancel()
        for thread in self._threads:
            thread.join()

    def _read(self, batches: Generator[HostBatch, None, None]) -> None:
        try:
            for batch in batches:
                self._filled.put(batch)
            self._filled.finish()
        except BaseException as err:
            self._filled.finish(err)

    def _prepare(self, preparation: Preparation, buffers: Buffers) -> None:
        try:
            with closing(preparation.run(self._filled)) as prepared:
                for host, batch in prepared:
                    if host is not None:
                        buffers.give(host.buffer)
                    self.ready.put(batch)
            self.ready.finish()
        except BaseException as err:
            self.ready.finish(err)
