"""Bands as separate planes → normalised images with the channels of a pixel side by side.

Each run of channels is normalised, cast and written to where it stays in one pass, which repeats pixels where a band is
smaller than the image. Bilinear pixels take two passes more over images of 16 bits a value, one along each axis.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.data.augment.boxes import box_masks, box_sides, erase
from trainer.data.bands import runs
from trainer.data.batch import Batch, Draws
from trainer.data.device.transfer import send
from trainer.data.normalisation import Normalisation
from trainer.data.prepare.dali.enlarge import blend_weights, enlarge
from trainer.data.prepare.dali.gpu_arguments import Plan, Span
from trainer.data.prepare.image_layout import Image


@dataclass(frozen=True, slots=True)
class _Part:
    """Channels of an image that are made together of bands of one span.

    Attributes:
        place: of the span among all.
        bands: their names.
        channels: their channels in the image.
        smooth: they are enlarged here, with bilinear pixels.
    """

    place: int
    bands: tuple[str, ...]
    channels: tuple[int, ...]
    smooth: bool


class Interleave:
    """The last steps of the preparation, on the device: steps 5 to 7 of `trainer.data.prepare.reference.prepare`."""

    def __init__(
        self,
        normalisation: Normalisation,
        images: tuple[Image, ...],
        spans: tuple[Span, ...],
        plan: Plan,
        device: torch.device,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Say which bands come, and what is made of them.

        Args:
            normalisation: of the selected bands.
            images: that are made.
            spans: the bands that come.
            plan: how they were prepared.
            device: where they are.
            dtype: of the images; by default float16 on a GPU and float32 on the CPU.
        """
        self._normalisation, self._images, self._spans, self._device = normalisation, images, spans, device
        # With values around 0 or 1 the range of float16 is no limit.
        self._dtype = dtype or (torch.float16 if device.type == "cuda" else torch.float32)
        self._parts = {image.name: _parts(image, spans, plan) for image in images}
        like = torch.empty(0, dtype=self._dtype, device=device)
        self._weights = {
            size: blend_weights(image.size // size, like)
            for image in images
            for size in {spans[part.place].group.size for part in self._parts[image.name] if part.smooth}
        }
        self._undrawn = send(self._factors(Draws()), device)

    def arrays(self, draws: Draws) -> dict[str, NDArray[Any]]:
        """Return what `images` needs on the device, by name."""
        arrays: dict[str, NDArray[Any]] = {}
        if draws.gain is not None or draws.offset is not None:
            arrays |= self._factors(draws)
        if draws.erase is not None:
            arrays["erase"] = box_sides(draws.erase)
        return arrays

    def images(self, bands: list[Tensor], sent: Mapping[str, Tensor]) -> Batch:
        """Return the images by name, (n, C, size, size).

        Args:
            bands: of each span, (n, bands, s, s) uint16.
            sent: what `arrays` returns, on the device.
        """
        sent = self._undrawn | dict(sent)
        erased = box_masks(sent["erase"]) if "erase" in sent else None
        made: Batch = {}
        for image in self._images:
            out = torch.empty(
                (len(bands[0]), image.size, image.size, len(image.bands)), dtype=self._dtype, device=self._device
            )
            first = 0
            for part in self._parts[image.name]:
                last = first + len(part.channels)
                self._write(part, bands[part.place], sent[image.name][..., first:last], out)
                first = last
            if self._normalisation.clamp:
                out.clamp_(0, 1)
            made[image.name] = out.permute(0, 3, 1, 2)
            if erased is not None:
                erase(made[image.name], erased)
        return made

    def _factors(self, draws: Draws) -> dict[str, NDArray[np.float32]]:
        """Return factors and biases of each image by its name, (2, n or 1, C), in the order of its parts."""
        return {
            image.name: factor_and_bias(draws, self._normalisation, image)[..., _order(parts)]
            for image, parts in zip(self._images, self._parts.values(), strict=True)
        }

    def _write(self, part: _Part, planes: Tensor, factors: Tensor, out: Tensor) -> None:
        """Write the channels of a part into an image, (n, size, size, C)."""
        span, num, size = self._spans[part.place], len(planes), planes.shape[-1]
        if part.smooth:
            target = torch.empty((num, size, size, len(part.bands)), dtype=self._dtype, device=self._device)
        else:
            target = out[..., part.channels[0] : part.channels[-1] + 1]
        done = 0
        for run in runs(part.bands):
            first, here = span.bands.index(run[0]), slice(done, done + len(run))
            write(target[..., here], planes[:, first : first + len(run)], *factors[..., here])
            done += len(run)
        if part.smooth:
            weights = self._weights[size]
            wide = torch.empty((num, size, out.shape[2], len(part.bands)), dtype=self._dtype, device=self._device)
            enlarge(target, 2, weights, wide)
            for start, stop in _contiguous(part.channels):
                channel = part.channels[start]
                enlarge(wide[..., start:stop], 1, weights, out[..., channel : channel + stop - start])


def _parts(image: Image, spans: tuple[Span, ...], plan: Plan) -> list[_Part]:
    """Return what the channels of an image are made of: a run of bands each, or all of a span that is smoothed."""
    parts = []
    for place, span in enumerate(spans):
        bands = tuple(band for band in image.bands if band in span.bands)
        smooth = plan.smooths(span) and span.size == image.size
        for names in [bands] if smooth and bands else runs(bands):
            channels = tuple(image.bands.index(band) for band in names)
            # Bands that follow one another in a record may have others between them in the image.
            cuts = [(0, len(names))] if smooth else _contiguous(channels)
            parts += [_Part(place, names[start:stop], channels[start:stop], smooth) for start, stop in cuts]
    return parts


def _order(parts: list[_Part]) -> list[int]:
    return [channel for part in parts for channel in part.channels]


def _contiguous(channels: tuple[int, ...]) -> list[tuple[int, int]]:
    """Cut ascending channels into such as follow one another: first and last place + 1 of each."""
    cuts = [i for i in range(1, len(channels)) if channels[i] != channels[i - 1] + 1]
    return list(zip([0, *cuts], [*cuts, len(channels)], strict=True))


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


def write(out: Tensor, planes: Tensor, factor: Tensor, bias: Tensor) -> None:
    """Normalise bands into images; each pixel becomes a square of equal ones where they are larger.

    Args:
        out: (n, size, size, b).
        planes: (n, b, s, s) uint16; s divides the size.
        factor: (n or 1, b) float32.
        bias: likewise.
    """
    num, num_bands, side, _ = planes.shape
    repeat = out.shape[1] // side
    pixels = planes.permute(0, 2, 3, 1)[:, :, None, :, None, :].expand(num, side, repeat, side, repeat, num_bands)
    squares = out.unflatten(1, (side, repeat)).unflatten(3, (side, repeat))
    torch.addcmul(bias[:, None, None, None, None], pixels, factor[:, None, None, None, None], out=squares)
