"""The DALI pipeline: records as they are stored → images as the model wants them. All of DALI is in this file.

`trainer.reference.prepare` says what it computes. The records travel to the device at native resolution, 160,000
bytes a patch; the 20 m and 60 m bands are flipped there while they are small and upsampled behind that, which commutes.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from nvidia.dali import fn
from nvidia.dali.pipeline import Pipeline
from nvidia.dali.types import DALIDataType, DALIInterpType
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from shards.bands import BANDS, GROUPS
from trainer.normalisation import Normalisation
from trainer.reference import IMAGE_SIZE

DEPTH = 2
"""Batches that DALI works on at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class HostBatch:
    """A batch in host memory.

    Attributes:
        buffer: (at least n, 80000) uint16, C-contiguous; must not change before the `Batch` is there.
        flips: (n, 2) uint8: mirrored left-right, up-down.
        labels: (n, 19) float32 of 0 and 1.
        rows: (n,) int64, rows of the index.
    """

    buffer: NDArray[np.uint16]
    flips: NDArray[np.uint8]
    labels: NDArray[np.float32]
    rows: NDArray[np.int64]

    @property
    def records(self) -> NDArray[np.uint16]:
        """View of the batch's records, (n, 80000) uint16."""
        return self.buffer[: len(self.rows)]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """A batch on the device.

    Attributes:
        images: (n, 12, 120, 120), channels-last in memory; float16 on a GPU, float32 on the CPU.
        labels: (n, 19) float32 of 0 and 1.
        rows: (n,) int64, rows of the index.
    """

    images: Tensor
    labels: Tensor
    rows: Tensor

    def __len__(self) -> int:
        return len(self.rows)


class Preparation:
    """Prepares batches on one device; used by one thread at a time."""

    def __init__(self, normalisation: Normalisation, batch_size: int, device: torch.device, num_threads: int) -> None:
        """Build the pipeline.

        Args:
            normalisation: statistics of the train split.
            batch_size: patches of the largest batch.
            device: the CPU, or a GPU.
            num_threads: DALI's threads for work on the CPU.
        """
        on_gpu = device.type == "cuda"
        self._next: Callable[[], Any] = _end
        # Copying on a stream of its own keeps the copies of one batch beside the training steps of another.
        self._stream = torch.cuda.Stream(device) if on_gpu else None
        self._pipeline = Pipeline(
            batch_size=batch_size,
            num_threads=num_threads,
            device_id=(device.index or 0) if on_gpu else None,
            prefetch_queue_depth=DEPTH,
            exec_dynamic=True,
        )
        with self._pipeline:
            self._pipeline.set_outputs(*_graph(lambda: self._next(), normalisation, on_gpu))
        self._pipeline.build()

    def run(self, batches: Iterable[HostBatch]) -> Generator[tuple[HostBatch, Batch], None, None]:
        """Prepare batches, `DEPTH` at a time, in their order.

        Each comes with the host batch that it was made of, whose memory may be overwritten from then on. An error of
        `batches` is raised after the batches before it.
        """
        source = iter(batches)
        pending: deque[HostBatch] = deque()
        error: BaseException | None = None

        def feed() -> Any:
            nonlocal error
            try:
                batch = next(source)
            except StopIteration:
                raise
            except BaseException as err:
                # Raised through DALI it would leave the batches before it in the pipeline.
                error = err
                raise StopIteration from None
            pending.append(batch)
            # DALI's arguments are int32.
            return batch.records, batch.flips.astype(np.int32), batch.labels, batch.rows

        self._next = feed
        try:
            while True:
                try:
                    # Without a stream as its argument this returns when the batch is done on the device too, so
                    # nothing reads the host buffer any more. Only the loader's own thread waits here.
                    outputs = self._pipeline.run()
                except StopIteration:
                    break
                yield pending.popleft(), self._batch(outputs)
            if error is not None:
                raise error
        finally:
            self._next = _end
            self._drain()

    def _batch(self, outputs: tuple[Any, ...]) -> Batch:
        tensors = [from_dlpack(output.as_tensor()) for output in outputs]
        if self._stream is not None:
            # DALI takes a buffer back as soon as the tensor is gone on the host, when steps that read it may still be
            # waiting on the device. The copies are torch's, which knows its streams.
            with torch.cuda.stream(self._stream):
                tensors = [tensor.clone() for tensor in tensors]
            self._stream.synchronize()
        # On the CPU no copy is needed: the dynamic executor gives every batch a buffer of its own.
        images, labels, rows = tensors
        return Batch(images.permute(0, 3, 1, 2), labels, rows)

    def _drain(self) -> None:
        """Take out what an iteration that was broken off has left, and be ready for another one."""
        while True:
            try:
                self._pipeline.run()
            except StopIteration:
                self._pipeline.reset()
                return


def _end() -> Any:
    raise StopIteration


def _graph(source: Callable[[], Any], normalisation: Normalisation, on_gpu: bool) -> tuple[Any, ...]:
    """Define the pipeline; images leave it as (120, 120, 12), which is what torch calls channels-last."""
    records, flips, labels, rows = fn.external_source(
        source=source,
        num_outputs=4,
        batch=True,
        dtype=[DALIDataType.UINT16, DALIDataType.INT32, DALIDataType.FLOAT, DALIDataType.INT64],
        ndim=[1, 1, 1, 0],
        # The loader does not touch a buffer before its batch is out.
        no_copy=True,
    )
    left_right, up_down = flips[0], flips[1]
    if on_gpu:
        records, labels, rows = records.gpu(), labels.gpu(), rows.gpu()
    images: list[Any] = []
    for group in GROUPS:
        pixels: Any = fn.reshape(records[group.slice.start : group.slice.stop], shape=list(group.shape), layout="CHW")
        pixels = fn.flip(pixels, horizontal=left_right, vertical=up_down)
        if group.size != IMAGE_SIZE:
            pixels = fn.resize(
                pixels, size=[IMAGE_SIZE, IMAGE_SIZE], interp_type=DALIInterpType.INTERP_NN, antialias=False
            )
        images.append(pixels)
    assert sum(len(group.bands) for group in GROUPS) == len(BANDS)
    normalised = fn.crop_mirror_normalize(
        fn.cat(*images, axis=0),
        mean=list(normalisation.mean),
        std=list(normalisation.std),
        # DALI has no bfloat16; with a mean of 0 and a deviation of 1 the range of float16 is no limit.
        dtype=DALIDataType.FLOAT16 if on_gpu else DALIDataType.FLOAT,
        output_layout="HWC",
    )
    return normalised, labels, rows
