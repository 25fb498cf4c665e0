"""Bands as separate planes → normalised images with the channels of a pixel side by side.

One pass for each run of channels: pixels are repeated, normalised, cast and written to where they stay.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.data.augment.boxes import erase
from trainer.data.bands import runs
from trainer.data.batch import Batch, Draws
from trainer.data.device.transfer import to_device
from trainer.data.normalisation import Normalisation
from trainer.data.prepare.dali.gpu_arguments import Span
from trainer.data.prepare.image_layout import Image


class Interleave:
    """The last steps of the preparation, on the device: steps 5 to 7 of `trainer.data.prepare.reference.prepare`."""

    def __init__(
        self, normalisation: Normalisation, images: tuple[Image, ...], spans: tuple[Span, ...], device: torch.device
    ) -> None:
        """Say which bands come, and what is made of them.

        Args:
            normalisation: of the selected bands.
            images: that are made.
            spans: the bands that come.
            device: where they are.
        """
        self._normalisation, self._images, self._spans, self._device = normalisation, images, spans, device
        # With values around 0 or 1 the range of float16 is no limit.
        self._dtype = torch.float16 if device.type == "cuda" else torch.float32
        undrawn = Draws()
        self._undrawn = [to_device(factor_and_bias(undrawn, normalisation, image), device) for image in images]

    def images(self, bands: list[Tensor], draws: Draws) -> Batch:
        """Return the images by name, (n, C, size, size), of the bands of each span, (n, bands, s, s)."""
        jittered = draws.gain is not None or draws.offset is not None
        made: Batch = {}
        for image, undrawn in zip(self._images, self._undrawn, strict=True):
            applied = undrawn
            if jittered:
                applied = to_device(factor_and_bias(draws, self._normalisation, image), self._device)
            size, channels = image.size, len(image.bands)
            out = torch.empty((len(bands[0]), size, size, channels), dtype=self._dtype, device=self._device)
            channel = 0
            for run in runs(image.bands):
                span, part = next(pair for pair in zip(self._spans, bands, strict=True) if run[0] in pair[0].bands)
                first = span.bands.index(run[0])
                write(out, channel, part[:, first : first + len(run)], *applied)
                channel += len(run)
            made[image.name] = out.permute(0, 3, 1, 2)
            if self._normalisation.clamp:
                out.clamp_(0, 1)
            if draws.erase is not None:
                erase(made[image.name], to_device(draws.erase, self._device))
        return made


def factor_and_bias(draws: Draws, normalisation: Normalisation, image: Image) -> NDArray[np.float32]:
    """Return by what the pixels of an image are multiplied, and what is added then: (2, n or 1, C) float32.

    value · factor + bias is ((value − centre) / scale) · gain + offset. A band that is dropped has a gain and an offset
    of 0, and becomes exactly 0.
    """
    chosen, channels = normalisation.select(image.bands), list(image.channels)
    factor = np.ones((1, len(channels))) / np.array(chosen.scale)
    if draws.gain is not None:
        factor = factor * draws.gain[:, channels]
    bias = -factor * np.array(chosen.centre)
    if draws.offset is not None:
        bias = bias + draws.offset[:, channels]
    return np.stack(np.broadcast_arrays(factor, bias)).astype(np.float32)


def write(image: Tensor, first: int, bands: Tensor, factor: Tensor, bias: Tensor) -> None:
    """Write bands into consecutive channels of images; each pixel becomes a square of equal ones where they are larger.

    Args:
        image: (n, size, size, C), contiguous.
        first: channel of the first band.
        bands: (n, b, s, s) uint16 or float32; s divides the size.
        factor: (n or 1, C) float32.
        bias: likewise.
    """
    num, num_bands, side, _ = bands.shape
    repeat = image.shape[1] // side
    channels = slice(first, first + num_bands)
    pixels = bands.permute(0, 2, 3, 1)[:, :, None, :, None, :].expand(num, side, repeat, side, repeat, num_bands)
    out = image[..., channels].unflatten(1, (side, repeat)).unflatten(3, (side, repeat))
    factor, bias = (values[:, None, None, None, None, channels] for values in (factor, bias))
    torch.addcmul(bias, pixels, factor, out=out)
