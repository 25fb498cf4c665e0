"""What the loader's preparation means, in plain torch. `trainer.dali` must give the same; the tests compare them."""

import torch
from torch import Tensor

from shards.bands import GROUPS, PATCH_METRES
from trainer.normalisation import Normalisation

IMAGE_SIZE = PATCH_METRES // 10
"""Side of a prepared image in pixels: that of the 10 m bands, 120."""


def upsample(records: Tensor) -> Tensor:
    """Return (N, 12, 120, 120) of the type of `records`, (N, 80000): 20 m and 60 m pixels repeated 2 and 6 times."""
    images = []
    for group in GROUPS:
        repeat = IMAGE_SIZE // group.size
        pixels = records[:, group.slice].reshape(-1, *group.shape)
        images.append(pixels.repeat_interleave(repeat, 2).repeat_interleave(repeat, 3))
    return torch.cat(images, 1)


def flip(images: Tensor, flips: Tensor) -> Tensor:
    """Return images (N, C, H, W) with those mirrored left-right where flips[:, 0], up-down where flips[:, 1]."""
    left_right, up_down = flips.bool()[:, :, None, None, None].unbind(1)
    images = torch.where(left_right, images.flip(3), images)
    return torch.where(up_down, images.flip(2), images)


def prepare(records: Tensor, flips: Tensor, normalisation: Normalisation) -> Tensor:
    """Prepare records for the model.

    Args:
        records: (N, 80000) uint16.
        flips: (N, 2) uint8, as `trainer.order.flip_draws` returns them.
        normalisation: statistics of the train split.

    Returns:
        (N, 12, 120, 120) float32: upsampled, flipped, (value − mean) / std by band.
    """
    images = flip(upsample(records.float()), flips)
    mean, std = (torch.tensor(v)[:, None, None] for v in (normalisation.mean, normalisation.std))
    return (images - mean) / std
