"""One kernel from records, as they are stored, to images: split, crop, resize, turn, normalise, erase, store.

It computes steps 1 to 7 of `trainer.data.prepare.reference.prepare`, operation by operation in the same order and
precision, so in float32 the bits agree. Each byte of a record that an image shows is read from memory once and each
byte of an image is written once: 160,000 + 345,600 bytes a patch for all bands, stacked in float16. All of Triton that
images need is in this file.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import torch
import triton
import triton.language as tl
from numpy.typing import NDArray
from torch import Tensor

from shards.layout.bands import BAND_SLICES, GROUP_OF, RECORD_VALUES
from trainer.data.batch import CELLS, Batch, Draws, Layout
from trainer.data.device.transfer import send
from trainer.data.normalisation import Normalisation
from trainer.data.prepare.image_layout import Image, images_of
from trainer.data.prepare.reference import fill_values
from trainer.definition.choices import Interpolation

TILE: Final = 128
"""Pixels that one program makes, of all channels; a power of 2."""
WARPS: Final = 4
"""Groups of 32 threads that share a program."""
DRAWN: Final = ("turn", "crop", "gain", "offset", "erase")
"""Fields of `Draws` that the kernel reads; the others are for `trainer.data.augment.mix`."""


def drawn_arrays(draws: Draws) -> dict[str, NDArray[Any]]:
    """Return the draws that the kernel reads, by name."""
    return {name: array for name in DRAWN if (array := getattr(draws, name)) is not None}


class Drawn(NamedTuple):
    """Draws for the images, on the device and C-contiguous; as in `trainer.data.batch.Draws`."""

    turn: Tensor | None = None
    crop: Tensor | None = None
    gain: Tensor | None = None
    offset: Tensor | None = None
    erase: Tensor | None = None

    @classmethod
    def of(cls, sent: Mapping[str, Tensor]) -> "Drawn":
        """Return the draws among tensors on the device by name: those of `drawn_arrays`, and others."""
        return cls(**{name: sent[name] for name in DRAWN if name in sent})


class ImageKernel:
    """Makes the images of batches; its tables are on the device from the start."""

    def __init__(
        self,
        normalisation: Normalisation,
        layout: Layout,
        device: torch.device,
        interpolation: Interpolation = "nearest",
        *,
        dtype: torch.dtype | None = None,
        tile: int = TILE,
        warps: int = WARPS,
    ) -> None:
        """Describe the images.

        Args:
            normalisation: of the selected bands, in channel order.
            layout: which images are made, `stacked` or `native`.
            device: where they are made.
            interpolation: how bands are brought to another size.
            dtype: of the images: float16, bfloat16 or float32; default: as in `Batch`.
            tile: pixels of one program, a power of 2.
            warps: groups of 32 threads of one program.

        Raises:
            ValueError: the layout is `record`, which leaves nothing to prepare.
        """
        self._device, self._tile, self._warps = device, tile, warps
        self._bilinear, self._clamp = interpolation == "bilinear", normalisation.clamp
        self._dtype = dtype or (torch.float16 if device.type == "cuda" else torch.float32)
        self._bands = len(normalisation.bands)
        self._images = [
            (image, _tables(image, normalisation, device)) for image in images_of(normalisation.bands, layout)
        ]

    def __call__(self, records: Tensor, drawn: Drawn, places: Tensor | None = None) -> Batch:
        """Return the images of a batch, by name, as `prepare` does; nothing waits for the device.

        Args:
            records: (m, 80000) uint16, on the device, contiguous.
            drawn: what is random about n patches.
            places: (n,) int64 on the device, the record of each patch among the m; None for all m in their order.
        """
        n = len(records) if places is None else len(places)
        images: Batch = {}
        for image, tables in self._images:
            size, channels = image.size, len(image.bands)
            out = torch.empty((n, size, size, channels), dtype=self._dtype, device=self._device)
            _images[(n, -(-size * size // self._tile))](
                records,
                places,
                out,
                *tables,
                *drawn,
                VALUES=RECORD_VALUES,
                BANDS=self._bands,
                CHANNELS=channels,
                LANES=1 << (channels - 1).bit_length(),
                SIZE=size,
                CELLS=CELLS,
                SIDES=tuple(sorted({GROUP_OF[band].size for band in image.bands})),
                TILE=self._tile,
                BILINEAR=self._bilinear,
                CLAMP=self._clamp,
                num_warps=self._warps,
                # The reference rounds after each operation.
                enable_fp_fusion=False,
            )
            images[image.name] = out.permute(0, 3, 1, 2)
        return images


def _tables(image: Image, normalisation: Normalisation, device: torch.device) -> tuple[Tensor, ...]:
    """Return what the kernel reads of each channel, (C,) each: four int32 tables, then three float32 ones."""
    chosen = normalisation.select(image.bands)
    tables = {
        "first": np.array([BAND_SLICES[band].start for band in image.bands], np.int32),
        "side": np.array([GROUP_OF[band].size for band in image.bands], np.int32),
        "band": np.array(image.channels, np.int32),
        "fill": np.array(fill_values(chosen), np.float32),
        "centre": np.array(chosen.centre, np.float32),
        "scale": np.array(chosen.scale, np.float32),
    }
    return tuple(send(tables, device).values())


@triton.jit
def _images(
    records, places, out,
    first, side, band, fill, centre, scale,
    turn, crop, gain, offset, erase,
    VALUES: tl.constexpr, BANDS: tl.constexpr, CHANNELS: tl.constexpr, LANES: tl.constexpr, SIZE: tl.constexpr,
    CELLS: tl.constexpr, SIDES: tl.constexpr, TILE: tl.constexpr, BILINEAR: tl.constexpr, CLAMP: tl.constexpr,
):  # fmt: skip
    """Make TILE pixels of one image: those of program (n, i) are i · TILE … of patch n, row by row.

    A place along either axis of the image that is written (`down`, `across`) belongs to a place along an axis of the
    band: the same axis, or the other one where the patch is transposed.
    """
    # 64 bits: a cache holds more than 2³¹ values.
    n = tl.program_id(0).to(tl.int64)
    pixel = tl.program_id(1) * TILE + tl.arange(0, TILE)
    channel = tl.arange(0, LANES)
    known = channel < CHANNELS
    there = (pixel < SIZE * SIZE)[:, None] & known[None, :]
    y, x = pixel // SIZE, pixel % SIZE
    down, across, transposed = y, x, False
    down_start, across_start, down_length, across_length = 0, 0, CELLS, CELLS
    if crop is not None:
        down_start, across_start = tl.load(crop + 4 * n), tl.load(crop + 4 * n + 1)
        down_length, across_length = tl.load(crop + 4 * n + 2), tl.load(crop + 4 * n + 3)
    if turn is not None:
        transposed = tl.load(turn + 3 * n) != 0
        across = tl.where(tl.load(turn + 3 * n + 1) != 0, SIZE - 1 - x, x)
        down = tl.where(tl.load(turn + 3 * n + 2) != 0, SIZE - 1 - y, y)
        top, left, height, width = down_start, across_start, down_length, across_length
        down_start, across_start = tl.where(transposed, left, top), tl.where(transposed, top, left)
        down_length, across_length = tl.where(transposed, width, height), tl.where(transposed, height, width)
    record = n
    if places is not None:
        record = tl.load(places + n)
    begin = records + record * VALUES + tl.load(first + channel, mask=known, other=0)[None, :]
    size = tl.load(side + channel, mask=known, other=0)[None, :]
    outside = tl.load(fill + channel, mask=known, other=0.0)[None, :]

    taps: tl.constexpr = 2 if BILINEAR else 1
    value = tl.full((TILE, LANES), 0.0, tl.float32)
    for tap in tl.static_range(taps * taps):
        at = tl.full((TILE, LANES), -1, tl.int32)
        weight = tl.full((TILE, LANES), 0.0, tl.float32)
        # All that channels of one resolution share is computed once, for a row of pixels.
        for k in tl.static_range(len(SIDES)):
            down_at, down_weight = _along(down, down_start, down_length, tap // taps, SIDES[k], SIZE, CELLS, BILINEAR)
            across_at, across_weight = _along(
                across, across_start, across_length, tap % taps, SIDES[k], SIZE, CELLS, BILINEAR
            )
            place = tl.where(transposed, across_at * SIDES[k] + down_at, down_at * SIDES[k] + across_at)
            place = tl.where((down_at >= 0) & (across_at >= 0), place, -1)
            at = tl.where(size == SIDES[k], place[:, None], at)
            if BILINEAR:
                weight = tl.where(size == SIDES[k], (down_weight * across_weight)[:, None], weight)
        picked = tl.load(begin + at, mask=there & (at >= 0), other=0).to(tl.float32)
        if crop is not None:
            picked = tl.where(at >= 0, picked, outside)
        value = value + picked * weight if BILINEAR else picked

    value = value - tl.load(centre + channel, mask=known, other=0.0)[None, :]
    divisor = tl.load(scale + channel, mask=known, other=1.0)[None, :]
    # `/` is only nearly right in float32.
    value = tl.div_rn(value, tl.broadcast_to(divisor, TILE, LANES))
    if gain is not None:
        value = value * tl.load(gain + n * BANDS + tl.load(band + channel, mask=known, other=0), mask=known)[None, :]
    if offset is not None:
        value = value + tl.load(offset + n * BANDS + tl.load(band + channel, mask=known, other=0), mask=known)[None, :]
    if CLAMP:
        value = tl.minimum(tl.maximum(value, 0.0), 1.0)
    if erase is not None:
        step: tl.constexpr = SIZE // CELLS
        box_top, box_left = tl.load(erase + 4 * n) * step, tl.load(erase + 4 * n + 1) * step
        box_height, box_width = tl.load(erase + 4 * n + 2) * step, tl.load(erase + 4 * n + 3) * step
        gone = (y >= box_top) & (y < box_top + box_height) & (x >= box_left) & (x < box_left + box_width)
        value = tl.where(gone[:, None], 0.0, value)
    target = (n * (SIZE * SIZE) + pixel)[:, None] * CHANNELS + channel[None, :]
    tl.store(out + target, value.to(out.dtype.element_ty), mask=there)


@triton.jit
def _along(
    pixel, start, length,
    SECOND: tl.constexpr, SIDE: tl.constexpr, SIZE: tl.constexpr, CELLS: tl.constexpr, BILINEAR: tl.constexpr,
):  # fmt: skip
    """Return the places along an axis of a band, SIDE pixels long, that pixels of an image show, and their weights.

    Places outside of the band are -1. Bilinear pixels lie between a first and a second one.

    The reference computes a weight in float64 and rounds it to float32. Here it is a quotient of integers, rounded
    once: k / (2 · SIZE) is too far from every number half way between two float32 for the results to differ. No
    numerator is negative: Triton would round its quotient towards 0.
    """
    start, length = start * (SIDE // CELLS), length * (SIDE // CELLS)
    part: tl.constexpr = 2 * SIZE
    if BILINEAR:
        parts = tl.minimum(tl.maximum((2 * pixel + 1) * length - SIZE, 0), (length - 1) * part)
        at = parts // part
        rest = parts - at * part
        if SECOND:
            at = tl.minimum(at + 1, length - 1)
        else:
            rest = part - rest
        weight = tl.div_rn(rest.to(tl.float32), tl.full(rest.shape, part, tl.float32))
    else:
        at = (2 * pixel + 1) * length // part
        weight = 1.0
    at += start
    return tl.where((at >= 0) & (at < SIDE), at, -1), weight
