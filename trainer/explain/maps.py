"""Attributions as arrays: maps on the 10 m grid, and weights of bands."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from trainer.data.batch import CELLS, IMAGE_SIZE


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Maps:
    """Attributions of N pairs of a patch and a class, of one method. Units are logits, but those of Grad-CAM.

    Attributes:
        pixels: (N, 120, 120) float32, for each pixel of 10 m; None for a method of bands alone.
        bands: (N, B) float32, for each band that the network sees, in channel order; None for a method of pixels alone.
        band_pixels: (N, B, 120, 120) float32, for each pixel of each band; None for a method that does not part them.
        gap: (N,) float32, sum of all attributions less the difference of logits that they should sum to; None for a
            method without this property.
        difference: (N,) float32, this difference; None likewise.
    """

    pixels: NDArray[np.float32] | None = None
    bands: NDArray[np.float32] | None = None
    band_pixels: NDArray[np.float32] | None = None
    gap: NDArray[np.float32] | None = None
    difference: NDArray[np.float32] | None = None

    @classmethod
    def joined(cls, parts: list["Maps"]) -> "Maps":
        """Return the attributions of several batches as one.

        Args:
            parts: at least one, all of one method.
        """

        def join(name: str) -> NDArray[np.float32] | None:
            arrays = [getattr(part, name) for part in parts]
            return None if arrays[0] is None else np.concatenate(arrays)

        return cls(**{name: join(name) for name in cls.__slots__})

    def rows(self, chosen: NDArray[np.int64] | slice) -> "Maps":
        """Return the attributions of some of the pairs."""
        return Maps(**{
            name: None if (values := getattr(self, name)) is None else values[chosen] for name in self.__slots__
        })  # fmt: skip


def cell_means(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the means of maps, (N, 120, 120), over cells of 60 m, (N, 20, 20) float32."""
    step = IMAGE_SIZE // CELLS
    return pixels.reshape(len(pixels), CELLS, step, CELLS, step).mean((2, 4), dtype=np.float32)


def spread(image: Tensor) -> Tensor:
    """Return attributions of a band group's pixels, (N, C, size, size), on the 10 m grid, (N, C, 120, 120).

    Each pixel is divided evenly among the pixels of 10 m that it covers, so sums stay as they are.
    """
    times = IMAGE_SIZE // image.shape[-1]
    return image.repeat_interleave(times, -1).repeat_interleave(times, -2) / times**2
