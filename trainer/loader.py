"""Batches of a split, made ahead of the training thread by two threads of their own.

store ─read, decode─▶ host buffers ─DALI─▶ device batches ─▶ the consumer
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from types import TracebackType

import numpy as np
import torch
from numpy.typing import NDArray

from shards import RECORD_VALUES, Store
from trainer.channel import Channel, Finished
from trainer.dali import DEPTH, Batch, HostBatch, Preparation
from trainer.normalisation import Normalisation
from trainer.order import epoch_order, flip_draws, split_batches

READ_AHEAD = 2
"""Batches that are read, or ready in host memory, before DALI takes them."""
READY = 2
"""Batches that are ready on the device."""


@dataclass(frozen=True, kw_only=True)
class LoaderConfig:
    """How to load a split.

    Attributes:
        batch_size: patches of a batch; the last one of an epoch holds what is left.
        device: where the batches go.
        training: shuffle and flip, anew in every epoch; otherwise index order, nothing flipped.
        seed: seed of order and flips.
        verify: compare every record that is read with its checksum.
    """

    batch_size: int
    device: torch.device
    training: bool
    seed: int = 0
    verify: bool = False


class Loader:
    """The batches of some rows of a store, epoch by epoch.

    Attributes:
        wait_seconds: how long consumers have waited for batches so far.
    """

    def __init__(
        self, store: Store, rows: NDArray[np.int64], normalisation: Normalisation, config: LoaderConfig
    ) -> None:
        """Build the pipeline and take the host memory: `READ_AHEAD + DEPTH` buffers of a batch each.

        Args:
            store: where the records are read, with the decode threads that it was opened with.
            rows: (n,) distinct rows of the store's index, at least one.
            normalisation: statistics of the train split.
            config: how to load.

        Raises:
            ValueError: there are no rows, or the batch size is below 1.
        """
        if len(rows) == 0 or config.batch_size < 1:
            raise ValueError(f"{len(rows)} patches in batches of {config.batch_size}, expected at least 1 in each")
        self.wait_seconds = 0.0
        self._store = store
        self._rows = rows
        self._labels = store.index.labels()
        self._config = config
        largest = min(config.batch_size, len(rows))
        self._preparation = Preparation(normalisation, largest, config.device, store.num_threads)
        # Pinned memory is copied to a GPU without a detour.
        pin = config.device.type == "cuda"
        self._buffers = [
            torch.empty((largest, RECORD_VALUES), dtype=torch.uint16, pin_memory=pin).numpy()
            for _ in range(READ_AHEAD + DEPTH)
        ]
        self._running: _Epoch | None = None

    def __len__(self) -> int:
        """Return the batches of an epoch."""
        return -(-len(self._rows) // self._config.batch_size)

    @property
    def num_patches(self) -> int:
        """Patches of an epoch."""
        return len(self._rows)

    def __enter__(self) -> "Loader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the threads of an epoch that is under way; the loader can start another one afterwards."""
        running, self._running = self._running, None
        if running is not None:
            running.close()

    def epoch(self, number: int = 0) -> Iterator[Batch]:
        """Iterate over the batches of an epoch: each patch exactly once. An epoch under way is broken off.

        Raises:
            CorruptShard: a record is damaged; the batches before it have been returned.
        """
        self.close()
        config = self._config
        rows = epoch_order(self._rows, config.seed, number) if config.training else self._rows
        plan = split_batches(rows, config.batch_size)
        running = self._running = _Epoch(self._preparation, self._buffers, plan, partial(self._fill, number))
        try:
            while True:
                start = time.perf_counter()
                try:
                    batch = running.ready.get()
                except Finished:
                    return
                finally:
                    self.wait_seconds += time.perf_counter() - start
                if batch.images.is_cuda:
                    # The memory was taken on the loader's stream: torch must not reuse it before this one is done.
                    for tensor in (batch.images, batch.labels, batch.rows):
                        tensor.record_stream(torch.cuda.current_stream(batch.images.device))
                yield batch
        finally:
            running.close()

    def _fill(self, epoch: int, rows: NDArray[np.int64], buffer: NDArray[np.uint16]) -> HostBatch:
        """Read a batch into the first rows of a buffer."""
        self._store.read_into(rows, buffer[: len(rows)], verify=self._config.verify)
        draws = flip_draws(rows, self._config.seed, epoch)
        flips = draws if self._config.training else np.zeros_like(draws)
        return HostBatch(buffer, flips, self._labels[rows].astype(np.float32), rows)


_Fill = Callable[[NDArray[np.int64], NDArray[np.uint16]], HostBatch]


class _Epoch:
    """The two threads of one epoch and the channels between them.

    A host buffer goes round: free → being filled → read by DALI → free, once its batch is on the device.
    """

    def __init__(
        self,
        preparation: Preparation,
        buffers: list[NDArray[np.uint16]],
        plan: list[NDArray[np.int64]],
        fill: _Fill,
    ) -> None:
        self.ready: Channel[Batch] = Channel(READY)
        self._filled: Channel[HostBatch] = Channel(READ_AHEAD)
        self._free: Channel[NDArray[np.uint16]] = Channel(len(buffers))
        for buffer in buffers:
            self._free.put(buffer)
        self._threads = [
            threading.Thread(target=self._read, args=(plan, fill), name="loader-read", daemon=True),
            threading.Thread(target=self._prepare, args=(preparation,), name="loader-dali", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop both threads and wait for them; closing twice is harmless."""
        for channel in (self.ready, self._filled, self._free):
            channel.cancel()
        for thread in self._threads:
            thread.join()

    def _read(self, plan: list[NDArray[np.int64]], fill: _Fill) -> None:
        try:
            for rows in plan:
                self._filled.put(fill(rows, self._free.get()))
            self._filled.finish()
        except BaseException as err:
            self._filled.finish(err)

    def _prepare(self, preparation: Preparation) -> None:
        try:
            with closing(preparation.run(self._filled)) as batches:
                for host, batch in batches:
                    self._free.put(host.buffer)
                    self.ready.put(batch)
            self.ready.finish()
        except BaseException as err:
            self.ready.finish(err)
