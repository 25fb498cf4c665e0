"""The DALI pipeline: records as they are stored → images as the model wants them. All of DALI is in this file.

`trainer.data.reference.prepare` says what it computes. The records travel to the device at native resolution, 160,000
bytes a patch; bands are cropped and turned there while they are small and upsampled behind that, which commutes.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from nvidia.dali import fn
from nvidia.dali.pipeline import Pipeline, pipeline_def
from nvidia.dali.types import DALIDataType, DALIInterpType
from torch.utils.dlpack import from_dlpack

from shards.bands import BAND_SLICES, GROUP_OF
from trainer.data.augment import RECIPES, Augmentation, draw
from trainer.data.bands import runs
from trainer.data.batch import Batch, Draws, HostBatch, Interpolation, Layout
from trainer.data.boxes import erase
from trainer.data.feeds import JITTER_SCALE, feeds_of
from trainer.data.layout import Image, images_of
from trainer.data.mix import complete
from trainer.data.normalisation import Normalisation
from trainer.data.prepared import Prepared, SideStream
from trainer.data.reference import fill_values
from trainer.data.transfer import to_device

DEPTH = 2
"""Batches that DALI works on at a time."""

_TYPES: Final = {
    np.dtype(np.uint16): DALIDataType.UINT16,
    np.dtype(np.int32): DALIDataType.INT32,
    np.dtype(np.float32): DALIDataType.FLOAT,
    np.dtype(np.bool_): DALIDataType.BOOL,
}
_INTERPOLATIONS: Final = {"nearest": DALIInterpType.INTERP_NN, "bilinear": DALIInterpType.INTERP_LINEAR}


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

        Raises:
            ValueError: the layout is `record`, which leaves nothing to prepare.
        """
        on_gpu = device.type == "cuda"
        self._normalisation = normalisation
        self._images = images_of(normalisation.bands, layout)
        self._augmentation = augmentation
        self._device = device
        self._next: Callable[[], Any] = _end
        # Copying on a stream of its own keeps the copies of one batch beside the training steps of another.
        self._stream = SideStream(device)
        # What a batch feeds in, by the example of one that is drawn; the records come first.
        feeds = self._feeds(draw(augmentation, np.zeros(1, np.int64), len(normalisation.bands), seed=0, epoch=0))
        self._pipeline = _pipeline(
            lambda: self._next(),
            feeds,
            self._images,
            normalisation,
            interpolation,
            augmentation,
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
                yield Prepared(host, batch, self._stream.mark())
            if error is not None:
                raise error
        finally:
            self._next = _end
            self._drain()
            # An error may have come between a batch and its event.
            self._stream.finish()

    def _feeds(self, draws: Draws) -> dict[str, NDArray]:
        self._augmentation.check(draws)
        return feeds_of(draws, self._augmentation, self._normalisation, self._images)

    def _batch(self, host: HostBatch, outputs: tuple[Any, ...]) -> Batch:
        tensors = [from_dlpack(output.as_tensor()) for output in outputs]
        with self._stream:
            if self._stream.stream is not None:
                # DALI takes a buffer back as soon as the tensor is gone on the host, when steps that read it may still
                # be waiting on the device. The copies are torch's, which knows its streams.
                tensors = [tensor.clone() for tensor in tensors]
            # On the CPU no copy is needed: the dynamic executor gives every batch a buffer of its own.
            images = {
                image.name: tensor.permute(0, 3, 1, 2) for image, tensor in zip(self._images, tensors, strict=True)
            }
            for image in images.values():
                # In place by torch, which is one pass: DALI has no float16 in `erase` on a GPU.
                if self._normalisation.clamp:
                    image.clamp_(0, 1)
                if host.draws.erase is not None:
                    erase(image, to_device(host.draws.erase, self._device))
            return complete(images, host.labels, host.rows, host.mask, host.draws)

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
def _pipeline(
    source: Callable[[], Any],
    feeds: dict[str, NDArray],
    images: tuple[Image, ...],
    normalisation: Normalisation,
    interpolation: Interpolation,
    augmentation: Augmentation,
) -> tuple[Any, ...]:
    """Define the pipeline; images leave it as (size, size, C), which is what torch calls channels-last."""
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
    on_gpu = Pipeline.current().device_id is not None
    if on_gpu:
        records = records.gpu()
    outputs = []
    for image in images:
        chosen = normalisation.select(image.bands)
        enlarged = augmentation.crop == "resized" or any(GROUP_OF[band].size < image.size for band in image.bands)
        # Between two pixels are numbers that are no integers.
        dtype = DALIDataType.FLOAT if enlarged and interpolation == "bilinear" else DALIDataType.UINT16
        parts = []
        for run in runs(image.bands):
            part = _bands(records, run, augmentation, fed, fill_values(chosen.select(run)))
            if augmentation.crop == "resized" or GROUP_OF[run[0]].size < image.size:
                part = fn.resize(
                    part,
                    size=[image.size] * 2,
                    interp_type=_INTERPOLATIONS[interpolation],
                    antialias=False,
                    dtype=dtype,
                )
            elif dtype != DALIDataType.UINT16:
                part = fn.cast(part, dtype=dtype)
            parts.append(part)
        jittered = f"mean_{image.name}" in fed
        outputs.append(
            fn.crop_mirror_normalize(
                fn.cat(*parts, axis=0),
                mean=fed[f"mean_{image.name}"] if jittered else list(chosen.centre),
                std=fed[f"std_{image.name}"] if jittered else list(chosen.scale),
                scale=JITTER_SCALE if jittered else 1.0,
                # DALI has no bfloat16; with values around 0 or 1 the range of float16 is no limit.
                dtype=DALIDataType.FLOAT16 if on_gpu else DALIDataType.FLOAT,
                output_layout="HWC",
            )
        )
    return tuple(outputs)


def _bands(records: Any, run: tuple[str, ...], augmentation: Augmentation, fed: dict[str, Any], fill: list[int]) -> Any:
    """Take a run of bands out of the records, cropped and turned, at native resolution."""
    group, first = GROUP_OF[run[0]], BAND_SLICES[run[0]].start
    pixels = records[first : first + len(run) * group.band_values]
    pixels = fn.reshape(pixels, shape=[len(run), group.size, group.size], layout="CHW")
    if augmentation.crop != "none":
        pixels = fn.slice(
            pixels,
            start=fed[f"start_{group.name}"],
            shape=fed[f"sides_{group.name}"],
            axis_names="HW",
            out_of_bounds_policy="pad",
            fill_values=fill,
        )
    if augmentation.turn == "d4" and fed["transposed"]:
        pixels = fn.transpose(pixels, perm=[0, 2, 1], transpose_layout=False)
    if augmentation.turn != "none":
        pixels = fn.flip(pixels, horizontal=fed["left_right"], vertical=fed["up_down"])
    return pixels
