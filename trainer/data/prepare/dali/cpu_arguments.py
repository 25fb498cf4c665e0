"""What is drawn, as the arguments of DALI's operators."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from shards.layout.bands import GROUP_OF
from trainer.data.batch import CELLS, Draws
from trainer.data.normalisation import Normalisation
from trainer.data.prepare.image_layout import Image
from trainer.definition.augmentation import Augmentation

JITTER_SCALE = 2.0**-24
"""DALI multiplies by this number divided by `std`: it is small enough for a factor of 0 to come out."""


def feeds_of(
    draws: Draws, augmentation: Augmentation, normalisation: Normalisation, images: Iterable[Image]
) -> dict[str, NDArray]:
    """Return the arguments by name, C-contiguous, with one row for each of n patches.

    - `left_right`, `up_down` (n,) int32 if there are turns, and `transposed` (n,) bool if there are right-angle ones;
    - `start_b10`, `sides_b10` and so on, (n, 2) int32 in pixels, for each group with a selected band, if there are
      crops;
    - `mean_image`, `std_image` and so on, (n, C) float32, for each image, if there are gains or offsets: with them,
      (x − mean) · JITTER_SCALE / std is ((x − centre) / scale) · gain + offset. Where the gain is 0, so is the result:
      it belongs to a band that is dropped, whose offset is 0.
    """
    feeds: dict[str, NDArray] = {}
    if draws.turn is not None:
        transposed, left_right, up_down = draws.turn.T
        feeds |= {"left_right": left_right.astype(np.int32), "up_down": up_down.astype(np.int32)}
        if augmentation.turn == "d4":
            feeds["transposed"] = transposed.astype(np.bool_)
    if draws.crop is not None:
        for group in {GROUP_OF[band] for band in normalisation.bands}:
            box = draws.crop * np.int32(group.size // CELLS)
            feeds |= {f"start_{group.name}": box[:, :2], f"sides_{group.name}": box[:, 2:]}
    if draws.gain is not None or draws.offset is not None:
        for image in images:
            mean, std = _jitter(draws, normalisation.select(image.bands), list(image.channels))
            feeds |= {f"mean_{image.name}": mean, f"std_{image.name}": std}
    return {name: np.ascontiguousarray(array) for name, array in feeds.items()}


def _jitter(
    draws: Draws, chosen: Normalisation, channels: list[int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return mean and std of the bands of an image, (n, C) each."""
    gain = np.ones((1, len(channels))) if draws.gain is None else draws.gain[:, channels].astype(np.float64)
    offset = np.zeros((1, len(channels))) if draws.offset is None else draws.offset[:, channels].astype(np.float64)
    gain, offset = np.broadcast_arrays(gain, offset)
    scale = np.array(chosen.scale) / np.where(gain == 0, 1, gain)
    mean = np.where(gain == 0, 0, np.array(chosen.centre) - offset * scale)
    # The largest float32: JITTER_SCALE divided by it is less than the smallest one.
    std = np.where(gain == 0, np.finfo(np.float32).max, scale * JITTER_SCALE)
    return mean.astype(np.float32), std.astype(np.float32)
