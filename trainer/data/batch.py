"""A batch on its way: in host memory as it is stored, on the device as the model wants it."""

from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from shards.layout.record import PATCH_METRES

Layout = Literal["stacked", "native", "record"]
LAYOUTS: Final[tuple[Layout, ...]] = ("stacked", "native", "record")
"""Content of a batch: all bands at 10 m, each group of bands at its own resolution, or the records as they are."""

IMAGE_SIZE: Final = PATCH_METRES // 10
"""Side of a stacked image in pixels: that of the 10 m bands, 120."""
CELLS: Final = PATCH_METRES // 60
"""Side of a patch in cells, 20. A cell is a pixel at 60 m: 3×3 at 20 m, 6×6 at 10 m. Boxes are given in cells, so that
they fall between pixels at every resolution."""

Batch: TypeAlias = dict[str, Tensor]
"""A batch of n patches on the device, by name:

- layout `stacked`: `image`, (n, C, 120, 120), channels-last in memory; float16 on a GPU, float32 on the CPU;
- layout `native`: `b10` (n, C10, 120, 120), `b20` (n, C20, 60, 60), `b60` (n, C60, 20, 20), likewise; a group without a
  selected band is absent;
- layout `record`: `record`, (n, 80000) uint16, as stored;
- `label`, (n, C) float32: 0 and 1, or between where patches are mixed;
- `row`, (n,) int64: rows of the index;
- `mask`, (n,) bool: False for a patch that only stands in for one, since every rank needs at least one.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """All that is random about the preparation of n patches; None where the augmentation leaves something as it is.

    Boxes are (top, left, height, width) in cells.

    Attributes:
        turn: (n, 3) uint8 of 0 and 1: transposed (rows become columns), then mirrored left-right, then up-down; all
            eight combinations are the flips and right-angle turns of a square.
        crop: (n, 4) int32, the box that becomes the image; where it reaches outside of the patch, pixels are filled
            with the band's mean, rounded. Its sides are odd or 20, so that no pixel centre falls on an edge of one.
        gain: (n, C) float32, factor of the normalised values; 0 for a band that is dropped.
        offset: (n, C) float32, added after it; 0 for a band that is dropped.
        erase: (n, 4) int32, the box of the prepared image that is set to 0; height and width are 0 for none.
        share: (n,) float32 in 0 to 1, how much of the result is the patch itself and not its partner (MixUp).
        paste: (n, 4) int32, the box that the partner fills (CutMix); height and width are 0 for none.
    """

    turn: NDArray[np.uint8] | None = None
    crop: NDArray[np.int32] | None = None
    gain: NDArray[np.float32] | None = None
    offset: NDArray[np.float32] | None = None
    erase: NDArray[np.int32] | None = None
    share: NDArray[np.float32] | None = None
    paste: NDArray[np.int32] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class HostBatch:
    """A batch in host memory.

    Attributes:
        buffer: (at least n, 80000) uint16, C-contiguous; must not change before the `Batch` is there. If the records
            are encoded, (at least the sum of `lengths`,) uint8.
        labels: (n, C) float32 of 0 and 1.
        rows: (n,) int64, rows of the index.
        mask: (n,) bool, as in `Batch`.
        draws: what is random about it.
        held: (n,) bool, True where the buffer holds the record; None for all. The buffer holds them in sequence,
            without gaps; the device has the others.
        lengths: (those that are held,) int64, bytes of their encoded records; None if they are decoded.
    """

    buffer: NDArray[Any]
    labels: NDArray[np.float32]
    rows: NDArray[np.int64]
    mask: NDArray[np.bool_]
    draws: Draws
    held: NDArray[np.bool_] | None = None
    lengths: NDArray[np.int64] | None = None

    @property
    def records(self) -> NDArray[np.uint16]:
        """View of the batch's records, (n, 80000) uint16."""
        return self.buffer[: len(self.rows)]
