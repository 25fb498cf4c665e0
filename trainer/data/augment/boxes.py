"""Boxes of cells, one for each patch of a batch, as masks of its images."""

import torch
from torch import Tensor

from trainer.data.batch import CELLS


def box_masks(boxes: Tensor, size: int) -> Tensor:
    """Return which pixels lie in the boxes.

    Args:
        boxes: (n, 4) of integers: top, left, height, width in cells.
        size: side of the images in pixels, a multiple of `CELLS`.

    Returns:
        (n, 1, size, size) bool.
    """
    pixels = torch.arange(size, device=boxes.device)
    start = boxes[:, :2, None] * (size // CELLS)
    stop = start + boxes[:, 2:, None] * (size // CELLS)
    inside = (pixels >= start) & (pixels < stop)
    return (inside[:, 0, :, None] & inside[:, 1, None, :])[:, None]


def erase(images: Tensor, boxes: Tensor) -> Tensor:
    """Set the pixels of images (n, C, H, H) in boxes (n, 4) to 0, in place, and return the images."""
    return images.masked_fill_(box_masks(boxes, images.shape[2]), 0)
