"""One pass over batches: a thread that reads, a thread that prepares, and the channels between them."""

import threading
from collections import deque
from collections.abc import Generator
from contextlib import closing
from typing import Final

from shards.errors import InvalidValue
from shards.runtime.forks import renew_in_children
from trainer.data.batch import HostBatch
from trainer.data.buffers import Buffers
from trainer.data.device.prepared import Prepared
from trainer.data.prepare.backend import Preparation
from trainer.data.stream.channel import Channel, Finished

READ_AHEAD: Final = 2
"""Batches that are ready in host memory before the preparation takes them."""
READY: Final = 2
"""Batches that are prepared, or that the device is at, before the consumer takes them."""


class Iteration:
    """The two threads of one iteration and the channels between them.

    A host buffer goes round: free → being filled → read by the preparation → free, once the event of its batch is
    complete. An error and `close` give back the buffers that are under way.
    """

    def __init__(self, preparation: Preparation, batches: Generator[HostBatch, None, None], buffers: Buffers) -> None:
        self.ready: Channel[Prepared] = Channel(READY)
        self._filled: Channel[HostBatch] = Channel(READ_AHEAD)
        self._buffers = buffers
        self._threads = [
            threading.Thread(target=self._read, args=(batches,), name="loader-read", daemon=True),
            threading.Thread(target=self._prepare, args=(preparation,), name="loader-prepare", daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        renew_in_children(self)

    def renew_after_fork(self) -> None:
        """See `shards.runtime.forks`: both threads are the parent's, and so are the batches that they make."""
        self._threads = []
        self.ready, self._filled = Channel(READY), Channel(READ_AHEAD)
        self.ready.finish(InvalidValue("an iteration that another process has begun cannot go on here: begin one anew"))

    def close(self) -> None:
        """Stop both threads and wait for them; closing twice is harmless."""
        self.ready.cancel()
        self._drop_filled()
        for thread in self._threads:
            thread.join()

    def _read(self, batches: Generator[HostBatch, None, None]) -> None:
        try:
            for batch in batches:
                try:
                    self._filled.put(batch)
                except Finished:
                    self._buffers.give(batch.buffer)
                    raise
            self._filled.finish()
        except BaseException as err:
            self._filled.finish(err)

    def _prepare(self, preparation: Preparation) -> None:
        taken: deque[HostBatch] = deque()

        def hosts() -> Generator[HostBatch, None, None]:
            for host in self._filled:
                taken.append(host)
                yield host

        try:
            with closing(preparation.run(hosts())) as batches:
                for prepared in batches:
                    taken.popleft()  # They come out in their order.
                    if prepared.host is not None:
                        self._buffers.give(prepared.host.buffer, prepared.done)
                    self.ready.put(prepared)
            self.ready.finish()
        except BaseException as err:
            # The device reads them no more, since the preparation has ended.
            for host in taken:
                self._buffers.give(host.buffer)
            # Nobody takes these any more, and the reading thread need not add to them.
            self._drop_filled()
            self.ready.finish(err)

    def _drop_filled(self) -> None:
        for host in self._filled.cancel():
            self._buffers.give(host.buffer)
