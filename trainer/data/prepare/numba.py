"""The preparation of a batch on the CPU in one pass: split, crop, resize, turn, normalise and erase, compiled by numba.

It gives what `trainer.data.prepare.reference` says, with interpolation `nearest`: then each axis of an image is a list
of places in the band, whatever was cropped and turned. A row of an image is collected in uint16, with the channels of a
pixel side by side, and leaves the processor's cache once, as float32; a row that is twice the same is collected once.
"""

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from shards.layout.bands import BAND_SLICES, GROUP_OF
from shards.runtime.compiled import compiled
from shards.runtime.threads import Threads
from trainer.data.augment.draw import check_draws
from trainer.data.augment.mix import complete
from trainer.data.batch import CELLS, Draws, HostBatch, Layout
from trainer.data.buffers import Buffers
from trainer.data.device.prepared import Prepared
from trainer.data.normalisation import Normalisation
from trainer.data.prepare.image_layout import Image, images_of
from trainer.data.prepare.reference import fill_values
from trainer.definition.augmentation import RECIPES, Augmentation

_ROWS: Final = 4
"""Patches that a thread prepares in one call."""
_OUTSIDE: Final = -1
"""Stands for the place of a pixel outside of the patch."""


class FusedPreparation:
    """Prepares batches in host memory, as `reference.TorchPreparation` does with nearest pixels."""

    def __init__(
        self,
        normalisation: Normalisation,
        *,
        batch_size: int,
        num_threads: int,
        layout: Layout = "stacked",
        augmentation: Augmentation = RECIPES["none"],
    ) -> None:
        """Take memory for nothing yet: images lie in memory that is used again once nobody holds a batch any more.

        Args:
            normalisation: of the selected bands, in channel order.
            batch_size: the most patches of a batch.
            num_threads: threads that prepare.
            layout: which images are made, `stacked` or `native`.
            augmentation: what the draws of the batches are of.

        Raises:
            ValueError: the layout is `record`, which leaves nothing to prepare.
        """
        self._augmentation = augmentation
        self._num_threads = num_threads
        self._images = [_Plan(image, normalisation, batch_size) for image in images_of(normalisation.bands, layout)]

    def run(self, batches: Iterable[HostBatch]) -> Generator[Prepared, None, None]:
        """Prepare batches, in their order.

        Raises:
            ValueError: the draws of a batch are of another augmentation.
        """
        with closing(Threads(self._num_threads, "prepare")) as threads:
            for host in batches:
                check_draws(self._augmentation, host.draws)
                images = {plan.image.name: plan.make(host, threads) for plan in self._images}
                batch = complete(images, host.labels, host.rows, host.mask, host.draws)
                yield Prepared(host, batch, None)


class _Plan:
    """One of the images of a batch, with all that is the same for every batch."""

    def __init__(self, image: Image, normalisation: Normalisation, batch_size: int) -> None:
        chosen = normalisation.select(image.bands)
        groups = sorted({GROUP_OF[band] for band in image.bands}, key=lambda group: -group.size)
        self.image = image
        self._channels = list(image.channels)
        self._sizes = [group.size for group in groups]
        self._group = np.array([groups.index(GROUP_OF[band]) for band in image.bands])
        self._first = np.array([BAND_SLICES[band].start for band in image.bands])
        self._outside = np.array(fill_values(chosen), np.uint16)
        self._centre = np.array(chosen.centre, np.float32)
        self._scale = np.array(chosen.scale)
        self._clamp = chosen.clamp
        self._buffers = Buffers((batch_size, image.size, image.size, len(image.bands)), np.float32)

    def make(self, host: HostBatch, threads: Threads) -> torch.Tensor:
        """Return the images of a batch: (n, C, size, size) float32, channels-last."""
        records, draws = host.records, host.draws
        num, size = len(records), self.image.size
        down, across = (
            np.ascontiguousarray(np.broadcast_to(np.stack(places, 1), (num, len(places), size)))
            for places in zip(*(_places(source, size, draws) for source in self._sizes), strict=True)
        )
        gain = np.ones((num, len(self._channels))) if draws.gain is None else draws.gain[:, self._channels]
        factor = (gain / self._scale).astype(np.float32)
        offset = np.zeros_like(factor) if draws.offset is None else draws.offset[:, self._channels]
        boxes = np.zeros((num, 4), np.int32) if draws.erase is None else draws.erase * np.int32(size // CELLS)
        out = self._buffers.take()

        def work(starts: Iterator[int]) -> None:
            for start in starts:
                part = slice(start, start + _ROWS)
                _fill(
                    records[part], self._first, self._group, down[part], across[part], self._outside, self._centre,
                    factor[part], offset[part], self._clamp, boxes[part], out[:num][part],
                )  # fmt: skip

        threads.run(work, range(0, num, _ROWS))
        return self._buffers.lend(out, num).permute(0, 3, 1, 2)


def _places(source: int, target: int, draws: Draws) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Say where the rows and the columns of images lie in bands with `source` pixels a side, as `prepare` does.

    Returns:
        Two (n or 1, target) int32 whose sums are places in the band, `_OUTSIDE` where there is none.
    """
    crop = np.array([[0, 0, CELLS, CELLS]]) if draws.crop is None else draws.crop.astype(np.int64)
    crop = crop[:, :, None] * (source // CELLS)
    pixel = np.arange(target)
    # Rounded down in integers: the centre of a pixel never falls on an edge between two.
    place = crop[:, :2] + (2 * pixel + 1) * crop[:, 2:] // (2 * target)
    inside = (place >= 0) & (place < source)
    down, across = (
        np.where(inside[:, i], place[:, i] * stride, _OUTSIDE).astype(np.int32) for i, stride in enumerate((source, 1))
    )
    if draws.turn is not None:
        transposed, left_right, up_down = draws.turn.astype(np.bool_).T[:, :, None]
        down, across = np.where(transposed, across, down), np.where(transposed, down, across)
        down, across = np.where(up_down, down[:, ::-1], down), np.where(left_right, across[:, ::-1], across)
    return down, across


@compiled
def _fill(
    records: NDArray[np.uint16],
    first: NDArray[np.int64],
    group: NDArray[np.int64],
    down: NDArray[np.int32],
    across: NDArray[np.int32],
    outside: NDArray[np.uint16],
    centre: NDArray[np.float32],
    factor: NDArray[np.float32],
    offset: NDArray[np.float32],
    clamp: bool,
    boxes: NDArray[np.int32],
    out: NDArray[np.float32],
) -> None:
    """Write n images of C channels.

    Args:
        records: (n, 80000).
        first: (C,) where the band of a channel begins in a record.
        group: (C,) which of G kinds of places belong to a channel.
        down: (n, G, size) where the rows of an image begin in its bands, below 0 for outside.
        across: (n, G, size) where the columns lie from there, likewise.
        outside: (C,) value of the pixels outside.
        centre: (C,) what is taken off.
        factor: (n, C) what the rest is multiplied by.
        offset: (n, C) what is added then.
        clamp: whether the result is cut to 0 … 1.
        boxes: (n, 4) top, left, height, width in pixels of what becomes 0.
        out: (n, size, size, C).
    """
    num, size, _, channels = out.shape
    groups, width = down.shape[1], size * channels
    row = np.empty(width, np.uint16)
    centres, factors, offsets = np.empty(width, np.float32), np.empty(width, np.float32), np.empty(width, np.float32)
    last = np.empty(groups, np.int32)
    whole = np.empty(groups, np.bool_)
    for i in range(num):
        record = records[i]
        if i == 0 or (factor[i] != factor[i - 1]).any() or (offset[i] != offset[i - 1]).any():
            for x in range(size):
                for c in range(channels):
                    centres[x * channels + c] = centre[c]
                    factors[x * channels + c] = factor[i, c]
                    offsets[x * channels + c] = offset[i, c]
        for g in range(groups):
            last[g] = np.iinfo(np.int32).min
            whole[g] = across[i, g].min() >= 0
        top, left, height, length = boxes[i]
        for y in range(size):
            for c in range(channels):
                g = group[c]
                start = down[i, g, y]
                if start == last[g]:
                    continue
                if start < 0:
                    for x in range(size):
                        row[x * channels + c] = outside[c]
                elif whole[g]:
                    start += first[c]
                    for x in range(size):
                        # Without a sign numba need not ask whether an index counts from the end: a tenth of the time.
                        row[np.uint64(x * channels + c)] = record[np.uint64(start + across[i, g, x])]
                else:
                    start += first[c]
                    for x in range(size):
                        place = across[i, g, x]
                        row[x * channels + c] = record[start + place] if place >= 0 else outside[c]
            for g in range(groups):
                last[g] = down[i, g, y]
            line = out[i, y].reshape(width)
            for k in range(width):
                line[k] = (np.float32(row[k]) - centres[k]) * factors[k] + offsets[k]
            if clamp:
                for k in range(width):
                    line[k] = min(max(line[k], np.float32(0)), np.float32(1))
            if top <= y < top + height:
                line[left * channels : (left + length) * channels] = 0
