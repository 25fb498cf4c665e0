"""The DALI pipeline: records as they are stored → images as the model wants them.

`trainer.data.prepare.reference.prepare` says what it computes. The records travel to the device at native resolution,
160,000 bytes a patch. All of DALI is in this file and its graphs, `gpu_graph`, `record_graph` and `cpu_graph`.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from nvidia.dali import fn
from nvidia.dali.pipeline import Pipeline, pipeline_def
from nvidia.dali.types import DALIDataType
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from trainer.data.augment.draw import check_draws, draw
from trainer.data.augment.mix import completed, rest
from trainer.data.batch import Batch, Draws, HostBatch, Layout
from trainer.data.device.prepared import Prepared, SideStream
from trainer.data.device.transfer import send
from trainer.data.normalisation import Normalisation
from trainer.data.prepare.dali.cpu_graph import HostGraph
from trainer.data.prepare.dali.gpu_arguments import blends_boxes
from trainer.data.prepare.dali.gpu_graph import BatchedGraph
from trainer.data.prepare.image_layout import images_of
from trainer.definition.augmentation import RECIPES, Augmentation
from trainer.definition.choices import Interpolation

DEPTH = 2
"""Batches that DALI works on at a time."""

_TYPES: Final = {
    np.dtype(np.int32): DALIDataType.INT32,
    np.dtype(np.float32): DALIDataType.FLOAT,
    np.dtype(np.bool_): DALIDataType.BOOL,
}


class Graph(Protocol):
    """Operators of DALI, and what is before and after them."""

    def feeds(self, draws: Draws) -> dict[str, NDArray]:
        """Return the arguments of the operators by name, C-contiguous, with one row for each patch."""

    def define(self, records: Any, fed: dict[str, Any]) -> tuple[Any, ...]:
        """Define the operators on records, (80000) uint16, and on the arguments by name."""

    def arrays(self, draws: Draws) -> dict[str, NDArray[Any]]:
        """Return what `finish` needs on the device, by name; of no name that `trainer.data.augment.mix.rest` has."""

    def finish(self, tensors: list[Tensor], sent: Mapping[str, Tensor]) -> Batch:
        """Return the images by name, on the current stream, of what the operators have returned and `arrays` has sent.

        The images share no memory with what the operators have returned if that is on a GPU.
        """


def graph_for_gpu(
    normalisation: Normalisation,
    layout: Layout,
    interpolation: Interpolation,
    augmentation: Augmentation,
    device: torch.device,
) -> Graph:
    """Return the graph for a GPU; its constants are copied to the device on the current stream.

    Args:
        normalisation: of the selected bands, in channel order.
        layout: `stacked` or `native`.
        interpolation: how bands are enlarged.
        augmentation: how patches are varied.
        device: where the images are made.

    Raises:
        ImportError: it needs Triton, which is not installed.
        ValueError: the layout is `record`, which leaves nothing to prepare.
    """
    if blends_boxes(augmentation, interpolation):
        # Only here, so that all else works without Triton.
        from trainer.data.prepare.dali.record_graph import RecordGraph

        return RecordGraph(normalisation, layout, interpolation, device)
    return BatchedGraph(normalisation, images_of(normalisation.bands, layout), interpolation, augmentation, device)


class DaliPreparation:
    """Prepares batches on one device; used by one thread at a time."""

    def __init__(
        self,
        normalisation: Normalisation,
        *,
        batch_size: int,
        device: torch.device,
        num_threads: int,
        layout: Layout = "stacked",
        interpolation: Interpolation = "nearest",
        augmentation: Augmentation = RECIPES["none"],
        batched: bool = False,
    ) -> None:
        """Build the pipeline.

        Args:
            normalisation: of the selected bands, in channel order.
            batch_size: patches of the largest batch.
            device: the CPU, or a GPU.
            num_threads: DALI's threads for work on the CPU.
            layout: `stacked` or `native`.
            interpolation: how bands are enlarged.
            augmentation: how patches are varied; the draws of every batch must be of it.
            batched: take the graph for a GPU on a CPU too, as tests do.

        Raises:
            ImportError: the graph needs Triton, which is not installed.
            ValueError: the layout is `record`, which leaves nothing to prepare.
        """
        self._device, on_gpu = device, device.type == "cuda"
        # Copying on a stream of its own keeps the copies of one batch beside the training steps of another.
        self._stream = SideStream(device)
        with self._stream:  # On which its constants are copied to the device, and on which alone they are read.
            self._graph: Graph = (
                graph_for_gpu(normalisation, layout, interpolation, augmentation, device)
                if batched or on_gpu
                else HostGraph(normalisation, images_of(normalisation.bands, layout), interpolation, augmentation)
            )
        self._augmentation = augmentation
        self._next: Callable[[], Any] = _end
        # What DALI has written, until the device has read it.
        self._held: deque[tuple[Any, torch.cuda.Event]] = deque()
        # What a batch feeds in, by the example of one that is drawn; the records come first.
        feeds = self._feeds(draw(augmentation, np.zeros(1, np.int64), len(normalisation.bands), seed=0, epoch=0))
        self._pipeline = _pipeline(
            lambda: self._next(),
            feeds,
            self._graph,
            batch_size=batch_size,
            num_threads=num_threads,
            device_id=(device.index or 0) if on_gpu else None,
            prefetch_queue_depth=DEPTH,
            exec_dynamic=True,
        )
        self._pipeline.build()

    def run(self, batches: Iterable[HostBatch]) -> Generator[Prepared, None, None]:
        """Prepare batches, `DEPTH` at a time, in their order.

        An error of `batches` is raised after the batches before it.
        """
        source = iter(batches)
        # DALI copies nothing that it is fed with, so that is kept.
        pending: deque[tuple[HostBatch, Any]] = deque()
        error: BaseException | None = None

        def feed() -> Any:
            nonlocal error
            try:
                batch = next(source)
                feeds = (batch.records, *self._feeds(batch.draws).values())
            except StopIteration:
                raise
            except BaseException as err:
                # Raised through DALI it would leave the batches before it in the pipeline.
                error = err
                raise StopIteration from None
            pending.append((batch, feeds))
            return feeds

        self._next = feed
        try:
            while True:
                try:
                    # With a stream as its argument this does not wait for the device: the stream does.
                    outputs = self._pipeline.run(self._stream.stream)
                except StopIteration:
                    break
                host, _ = pending.popleft()
                batch = self._batch(host, outputs)
                # DALI's copy from the host buffer is before the outputs on their stream, so the event stands for it.
                done = self._stream.mark()
                self._hold(outputs, done)
                yield Prepared(host, batch, done)
            if error is not None:
                raise error
        finally:
            self._next = _end
            try:
                # After an error of its own DALI has nothing left, and says the same again.
                self._drain()
            finally:
                # An error may have come between a batch and its event.
                self._stream.finish()
                self._held.clear()

    def _feeds(self, draws: Draws) -> dict[str, NDArray]:
        check_draws(self._augmentation, draws)
        return self._graph.feeds(draws)

    def _batch(self, host: HostBatch, outputs: tuple[Any, ...]) -> Batch:
        with self._stream:
            # On this stream, which the outputs are bound to.
            tensors = [from_dlpack(output.as_tensor()) for output in outputs]
            arrays = rest(host.labels, host.rows, host.mask, host.draws) | self._graph.arrays(host.draws)
            sent = send(arrays, self._device)
            return completed(self._graph.finish(tensors, sent), sent)

    def _hold(self, outputs: Any, done: torch.cuda.Event | None) -> None:
        """Keep what DALI has written until an event is complete; None is no event.

        DALI writes to memory again once nobody holds it on the host, when the device may not have read it yet. It is
        read only on this stream and before the event, since the images are torch's: no step ever sees it. So no copy is
        needed to let it go, and nothing waits here: events complete in their order, and while one does not, the loader
        prepares at most as many batches more as it has host buffers for.
        """
        if done is not None:
            self._held.append((outputs, done))
        while self._held and self._held[0][1].query():
            self._held.popleft()

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


@pipeline_def(enable_conditionals=True)
def _pipeline(source: Callable[[], Any], feeds: dict[str, NDArray], graph: Graph) -> tuple[Any, ...]:
    """Define the pipeline: records and arguments go in, and through the operators of a graph."""
    records, *rest = fn.external_source(
        source=source,
        num_outputs=1 + len(feeds),
        batch=True,
        dtype=[DALIDataType.UINT16, *(_TYPES[array.dtype] for array in feeds.values())],
        ndim=[1, *(array.ndim - 1 for array in feeds.values())],
        # The loader does not touch a buffer before its batch is out.
        no_copy=True,
    )
    fed = {name: rest[i] for i, name in enumerate(feeds)}
    if Pipeline.current().device_id is not None:
        records = records.gpu()
    return graph.define(records, fed)
