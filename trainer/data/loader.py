"""Batches of some rows of a store, made ahead of the training thread by two threads of their own.

order ─▶ store: read, decode ─▶ host buffers ─▶ DALI, numba, Triton or torch: prepare ─▶ device batches ─▶ the consumer

Triton on a GPU decodes `bitpack` too: then the host only reads, and encoded records go to the device.
"""

import hashlib
import time
from collections.abc import Iterator
from dataclasses import replace
from types import TracebackType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from shards import RECORD_VALUES, Store
from shards.errors import InvalidValue
from shards.text.kinds import check_kind
from shards.text.words import counted, patches
from trainer.data.batch import Batch
from trainer.data.buffers import Buffers
from trainer.data.device import encoded
from trainer.data.device.records import CachedPreparation, DecodedRecords, DeviceRecords, EncodedRecords
from trainer.data.loader_config import LoaderConfig
from trainer.data.normalisation import Normalisation
from trainer.data.order import SampleOrder
from trainer.data.prepare.backend import Images, Preparation
from trainer.data.stream.channel import Finished
from trainer.data.stream.host_reader import HostReader
from trainer.data.stream.iteration import Iteration
from trainer.data.stream.records import RecordPreparation
from trainer.data.subset.rows import take_rows
from trainer.definition.choices import Backend
from trainer.errors import TrainError


class Loader:
    """The batches of some rows of a store, epoch by epoch: `for batch in loader` is one epoch.

    Every iteration is the next epoch, with another order and other draws, unless `set_epoch` says otherwise. It follows
    the stateful protocol of torchdata: `state_dict` says where an iteration is, and after `load_state_dict` the next
    one resumes there, in the middle of an epoch, with the batches that the interrupted one would have given.

    Use it as a context manager, or `close` it: that stops the threads of an iteration that was broken off. A forked
    process can begin iterations of its own, where neither DALI nor a GPU is used; one under way ends there in an error.

    Attributes:
        config: how it loads.
        order: which patches each batch holds.
        backend: `numba`, `dali`, `triton` or `torch`, which prepares the images; `auto` where there are none.
        reader: reads the batches into the host's memory.
        wait_seconds: how long consumers have waited for batches so far.
    """

    def __init__(
        self,
        store: Store,
        rows: NDArray[np.int64],
        normalisation: Normalisation,
        config: LoaderConfig,
        *,
        repeats: NDArray[np.float64] | None = None,
    ) -> None:
        """Build the preparation. Threads start, and memory is taken, when an iteration begins.

        Args:
            store: where the records are read, with the decode threads that it was opened with.
            rows: (n,) distinct rows of the store's index, ascending.
            normalisation: by which pixels are normalised; it also says which bands a batch holds.
            config: how to load.
            repeats: (n,) visits of each patch in an epoch in the mean, from 1, see `SampleOrder`; None for one.

        Raises:
            InvalidValue: there are no rows, or fewer than ranks, or one is none of the store, or an argument is of
                another kind.
            TrainError: the backend is not installed, or cannot do what is requested.
        """
        for name, value, kind in (
            ("store", store, Store),
            ("normalisation", normalisation, Normalisation),
            ("config", config, LoaderConfig),
        ):
            check_kind(name, value, kind)
        rows = take_rows(rows, len(store))
        if not len(rows):
            raise InvalidValue("there are no patches to load")
        if config.device == torch.device("cuda"):
            # Without an index it is the current device, of which each thread has one of its own.
            config = replace(config, device=torch.device("cuda", torch.cuda.current_device()))
        self.config = config
        self.backend: Backend = "auto"
        self.wait_seconds = 0.0
        self._store = store
        shards = store.shard_of(rows) if config.order == "block" else None
        self.order = SampleOrder(
            rows=rows,
            batch_size=config.batch_size,
            kind=config.order,
            seed=config.seed,
            shards=shards,
            repeats=repeats,
        )
        largest, on_device = self.order.largest_part(config.num_ranks), config.cache in ("gpu", "gpu-encoded")
        if config.layout == "record" and config.augmentation.fields:
            raise InvalidValue("records are handed over as they are: layout record allows for no augmentation")
        if config.layout == "record" and on_device:
            raise InvalidValue(f"layout record keeps nothing on the device, got cache {config.cache}; take ram")
        if config.cache == "ram":
            store.keep_in_memory(rows, reserve_bytes=config.reserve_bytes)
        images = Images(
            normalisation=normalisation,
            batch_size=largest,
            device=config.device,
            num_threads=store.num_threads,
            layout=config.layout,
            interpolation=config.interpolation,
            augmentation=config.augmentation,
        )
        if config.layout != "record":
            self.backend = images.resolve_on_device(config.loader) if on_device else images.resolve(config.loader)
        self._reads_encoded = self.backend == "triton" and encoded.can_decode(store)
        shape = (largest * encoded.LARGEST,) if self._reads_encoded else (largest, RECORD_VALUES)
        dtype = np.uint8 if self._reads_encoded else np.uint16
        self._buffers = Buffers(shape, dtype, pin=config.device.type == "cuda")
        self._device_records: DeviceRecords | None = None
        self._preparation = self._create_preparation(images)
        self.reader = HostReader(
            store=store,
            order=self.order,
            buffers=self._buffers,
            device_records=self._device_records,
            is_encoded=self._reads_encoded,
            num_bands=len(normalisation.bands),
            augmentation=config.augmentation,
            rank=config.rank,
            num_ranks=config.num_ranks,
            verify=config.verify,
            nomenclature=config.nomenclature,
        )
        self._running: Iteration | None = None
        self._epoch = self._step = 0
        """Place of the next batch."""
        self._under_way = False

    def __len__(self) -> int:
        """Return the batches of an epoch."""
        return len(self.order)

    @property
    def num_patches(self) -> int:
        """Patches of an epoch, over all ranks; those that are repeated count each time."""
        return self.order.num_visits

    def __repr__(self) -> str:
        batches = f"{counted(len(self), 'batch', 'batches')} of {patches(self.config.batch_size)}"
        return f"<Loader: {patches(self.num_patches)} of {self._store.folder}, {batches}, on {self.config.device}>"

    def __reduce__(self) -> tuple[Any, ...]:
        raise InvalidValue("a loader holds memory and threads of its process: send the store, and make a loader there")

    def __enter__(self) -> "Loader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the threads of an iteration that is under way; another one can begin afterwards."""
        running, self._running = self._running, None
        if running is not None:
            running.close()

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch, from 0, the next iteration is."""
        self.move_to(epoch, 0)

    def move_to(self, epoch: int, step: int) -> None:
        """Say at which epoch and batch, from 0, the next iteration begins. An iteration under way is broken off.

        Raises:
            ValueError: there is no such place.
        """
        if not (epoch >= 0 and 0 <= step < len(self)):
            raise ValueError(f"there is no batch {step} of epoch {epoch}: an epoch has {len(self)} batches")
        self.close()
        self._epoch, self._step, self._under_way = epoch, step, False

    def state_dict(self) -> dict[str, Any]:
        """Return the place of the next batch, and what the loader must be like to go on there."""
        epoch, step = (self._epoch, self._step) if self._step < len(self) else (self._epoch + 1, 0)
        return {"epoch": epoch, "step": step, **self._identity()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next iteration resume from the place of the loader that gave this state.

        Raises:
            ValueError: that loader had another order, so its place means nothing here.
        """
        for name, expected in self._identity().items():
            if state.get(name) != expected:
                raise InvalidValue(f"the state is of a loader with {name} {state.get(name)}, this one has {expected}")
        self.move_to(state["epoch"], state["step"])

    def __iter__(self) -> Iterator[Batch]:
        """Iterate over the batches of the next epoch, which visit each patch. An iteration under way is broken off.

        Raises:
            CorruptShard: a record is damaged; the batches before it have been returned.
        """
        self.close()
        if self._under_way:
            self._epoch, self._step = self._epoch + 1, 0
        self._under_way = True
        batches = self.reader.batches(self._epoch, self._step)
        running = self._running = Iteration(self._preparation, batches, self._buffers)
        try:
            while True:
                start = time.perf_counter()
                try:
                    prepared = running.ready.get()
                except Finished:
                    break
                except KeyboardInterrupt:
                    # Whoever waits for a server would go on for minutes.
                    self.reader.store.give_up()
                    raise
                finally:
                    self.wait_seconds += time.perf_counter() - start
                batch = prepared.batch
                if prepared.done is not None:
                    stream = torch.cuda.current_stream(self.config.device)
                    # The device waits for the batch, this thread does not.
                    stream.wait_event(prepared.done)
                    # The memory was taken on the loader's stream: torch must not reuse it before this one is done.
                    for tensor in batch.values():
                        tensor.record_stream(stream)
                self._step += 1
                yield batch
        finally:
            running.close()
        if running is self._running:
            self.move_to(self._epoch + 1, 0)

    def _identity(self) -> dict[str, Any]:
        """Return what the order of the batches depends on."""
        order = self.order
        repeats = {} if order.repeats is None else {"repeats": hashlib.sha256(order.repeats.tobytes()).hexdigest()}
        return {
            "seed": order.seed,
            "kind": order.kind,
            "batch_size": order.batch_size,
            "num_patches": order.num_visits,
            **repeats,
        }

    def _create_preparation(self, images: Images) -> Preparation:
        config, rows = self.config, self.order.rows
        if config.layout == "record":
            return RecordPreparation(self._buffers, config.device)
        if config.cache in ("none", "ram"):
            return images.by(self.backend)
        if config.cache == "gpu-encoded" and not self._reads_encoded:
            raise TrainError(
                f"encoded records on the GPU are {encoded.CODEC} decoded by Triton, and these are "
                f"{self._store.manifest.codec} prepared by {self.backend}; keep them decoded, or in the host's memory"
            )
        if self.backend == "triton":
            triton = images.by_triton()
            if config.cache == "gpu":
                self._device_records = DecodedRecords(rows, config.device, triton)
            else:
                self._device_records = EncodedRecords(rows, encoded.lengths_of(self._store, rows), config.device)
            return CachedPreparation(self._device_records, triton, config.device)
        self._device_records = DecodedRecords(rows, config.device)
        return CachedPreparation(self._device_records, images.by_torch(), config.device)
