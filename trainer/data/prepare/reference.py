"""The preparation of a batch in plain torch: what it means, and how it is done where DALI is not.

The other backends must give the same; the tests compare them. Records that lie on the device already are prepared here
too. Nothing waits for the device.
"""

from collections.abc import Generator, Iterable
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from shards.layout.bands import BAND_SLICES, GROUP_OF
from trainer.data.augment.boxes import box_masks, box_sides, erase
from trainer.data.augment.draw import check_draws
from trainer.data.augment.mix import complete
from trainer.data.bands import runs
from trainer.data.batch import CELLS, Batch, Draws, HostBatch, Layout
from trainer.data.device.on_device import Decoded, Encoded, gather
from trainer.data.device.prepared import Prepared, SideStream
from trainer.data.device.transfer import to_device
from trainer.data.normalisation import Normalisation
from trainer.data.prepare.image_layout import images_of
from trainer.definition.augmentation import RECIPES, Augmentation
from trainer.definition.choices import Interpolation

_WHOLE = np.array([[0, 0, CELLS, CELLS]], np.int32)
"""The box of one whole patch."""
_OUTSIDE = -(1 << 20)
"""Stands for the place of a pixel outside of the patch: the sum with any other place is below 0."""


def fill_values(normalisation: Normalisation) -> list[int]:
    """Return what pixels outside of the patch are filled with: the rounded mean of each band, as a uint16."""
    return [int(np.clip(np.rint(mean), 0, 65_535)) for mean in normalisation.mean]


def prepare(
    records: Tensor,
    draws: Draws,
    normalisation: Normalisation,
    layout: Layout,
    interpolation: Interpolation = "nearest",
) -> Batch:
    """Make the images of a batch, where its records are. Labels and mixing follow in `complete`.

    1. Split: the selected bands are taken out of the record, at native resolution.
    2. Crop: the box `crop` is cut out; pixels outside of the patch have the rounded mean of the band.
    3. Resize to the size of the image: 120×120 if `stacked`, the group's own if `native`. Pixel i of T takes its value
       at the place (i + 1/2) · S/T − 1/2 of the S pixels that the box is long: of the pixel that this is nearest to, or
       linearly between the two around it, where the outermost pixels of the box go on for ever.
    4. Turn: rows become columns if turn[:, 0], mirrored left-right if turn[:, 1], then up-down if turn[:, 2].
    5. Normalise: ((value − centre) / scale) · gain + offset by band, in float32; cut to 0 … 1 if `clamp` says so.
    6. Erase: the box `erase` becomes 0.
    7. Store: float16 on a GPU, float32 on the CPU; channels-last.

    Args:
        records: (n, 80000) uint16.
        draws: what is random about them.
        normalisation: of the selected bands, in channel order.
        layout: which images are made, `stacked` or `native`.
        interpolation: of step 3.

    Returns:
        The images by name, as in `Batch`.
    """
    device = records.device
    turn = None if draws.turn is None else to_device(draws.turn, device).bool()
    crop = to_device(_WHOLE if draws.crop is None else draws.crop, device).long()
    images: Batch = {}
    for image in images_of(normalisation.bands, layout):
        chosen, channels = normalisation.select(image.bands), list(image.channels)
        values = torch.empty((len(records), len(image.bands), image.size, image.size), device=device)
        done = 0
        for run in runs(image.bands):
            axes = _axes(GROUP_OF[run[0]].size, image.size, turn, crop, interpolation)
            outside = np.array(fill_values(chosen.select(run)), np.float32)
            part = values[:, done : done + len(run)]
            _sample(records, run, axes, None if draws.crop is None else to_device(outside, device), part)
            done += len(run)
        values.sub_(to_device(np.array(chosen.centre, np.float32), device)[:, None, None])
        values.div_(to_device(np.array(chosen.scale, np.float32), device)[:, None, None])
        if draws.gain is not None:
            values.mul_(to_device(draws.gain[:, channels], device)[:, :, None, None])
        if draws.offset is not None:
            values.add_(to_device(draws.offset[:, channels], device)[:, :, None, None])
        if chosen.clamp:
            values.clamp_(0, 1)
        if draws.erase is not None:
            erase(values, box_masks(to_device(box_sides(draws.erase), device)))
        dtype = torch.float16 if device.type == "cuda" else torch.float32
        images[image.name] = values.to(dtype, memory_format=torch.channels_last)
    return images


class TorchPreparation:
    """Prepares batches on one device, as `trainer.data.prepare.dali.pipeline.DaliPreparation` does."""

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
        """Take the arguments of `DaliPreparation`; `batch_size` and `num_threads` make no difference here.

        Raises:
            ValueError: the layout is `record`, which leaves nothing to prepare.
        """
        images_of(normalisation.bands, layout)
        self._normalisation = normalisation
        self._layout: Layout = layout
        self._interpolation: Interpolation = interpolation
        self._augmentation = augmentation
        self._device = device
        self._stream = SideStream(device)

    def run(self, batches: Iterable[HostBatch]) -> Generator[Prepared, None, None]:
        """Prepare batches, in their order."""
        try:
            for host in batches:
                with self._stream:
                    records = torch.from_numpy(host.records).to(self._device, non_blocking=True)
                    batch = self.prepare_at(Decoded(records), host)
                yield Prepared(host, batch, self._stream.mark())
        finally:
            # An error may have come between the copy of the records and the event.
            self._stream.finish()

    def prepare_at(self, where: Decoded | Encoded, host: HostBatch) -> Batch:
        """See `FromDevice`; the records are decoded.

        Raises:
            ValueError: the draws are of another augmentation.
        """
        assert isinstance(where, Decoded)
        check_draws(self._augmentation, host.draws)
        images = prepare(gather(where), host.draws, self._normalisation, self._layout, self._interpolation)
        return complete(images, host.labels, host.rows, host.mask, host.draws)


_Axes: TypeAlias = tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Pixels that make those of an image: (down, across) for their places and for their weights, each (n or 1, size, k).

k is 1 or 2 neighbours. The place of a pixel in its band is the sum of one from either axis, its weight the product."""


def _axes(source: int, target: int, turn: Tensor | None, crop: Tensor, interpolation: Interpolation) -> _Axes:
    """Say where the pixels of an image with `target` pixels a side are in bands with `source` pixels a side.

    Args:
        source: pixels a side of the band.
        target: pixels a side of the image.
        turn: (n, 3) bool, or None.
        crop: (n or 1, 4) int64.
        interpolation: as in `prepare`.
    """
    start, length = (crop[:, :, None, None] * (source // CELLS)).split(2, 1)
    pixel = torch.arange(target, device=crop.device)[:, None]
    if interpolation == "nearest":
        # Rounded down in integers: the centre of a pixel never falls on an edge between two.
        place = (2 * pixel + 1) * length // (2 * target)
        weight = torch.ones_like(place, dtype=torch.float32)
    else:
        centre = ((pixel + 0.5).double() * length / target - 0.5).clamp(min=0).minimum(length - 1)
        low = centre.floor()
        place = torch.cat([low, (low + 1).minimum(length - 1)], 3).long()
        weight = torch.cat([1 - (centre - low), centre - low], 3).float()
    place = place + start
    inside = (place >= 0) & (place < source)
    down, across = (torch.where(inside[:, i], place[:, i] * stride, _OUTSIDE) for i, stride in enumerate((source, 1)))
    return _turned(down, across, turn), _turned(weight[:, 0], weight[:, 1], turn)


def _turned(down: Tensor, across: Tensor, turn: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return what belongs to the rows and to the columns of turned images; all are (n or 1, size, …)."""
    if turn is None:
        return down, across
    transposed, left_right, up_down = turn[:, :, None, None].unbind(1)
    down, across = torch.where(transposed, across, down), torch.where(transposed, down, across)
    return torch.where(up_down, down.flip(1), down), torch.where(left_right, across.flip(1), across)


def _sample(records: Tensor, run: tuple[str, ...], axes: _Axes, outside: Tensor | None, out: Tensor) -> None:
    """Write an image of bands that are contiguous in a record.

    Args:
        records: (n, 80000) uint16.
        run: names of the bands.
        axes: as `_axes` returns them.
        outside: (bands,) float32, value of the pixels outside of the patch; None without such pixels.
        out: (n, bands, size, size) float32.
    """
    group, first = GROUP_OF[run[0]], BAND_SLICES[run[0]].start
    # torch gathers no uint16 on the CPU.
    values = records[:, first : first + len(run) * group.band_values].view(torch.int16)
    values = values.unflatten(1, (len(run), group.band_values))
    (down, across), (down_weight, across_weight) = axes
    size, neighbours = down.shape[1:]
    for i in range(neighbours):
        for j in range(neighbours):
            place = (down[:, :, None, i] + across[:, None, :, j])[:, None]
            # Places are 8 bytes a pixel: another pass over them is spared where none is outside.
            inner = place if outside is None else place.clamp(min=0)
            picked = values.gather(2, inner.flatten(2).expand(*values.shape[:2], -1))
            # The first of the neighbours is converted in its place.
            target = out if (i, j) == (0, 0) else torch.empty_like(out)
            target.copy_(picked.view(torch.uint16).unflatten(2, (size, size)))
            if outside is not None:
                torch.where(place < 0, outside[:, None, None], target, out=target)
            if neighbours > 1:
                target.mul_((down_weight[:, :, None, i] * across_weight[:, None, :, j])[:, None])
            if target is not out:
                out.add_(target)
