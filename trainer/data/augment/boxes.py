"""Boxes of cells, one for each patch of a batch, as masks of its images.

All images are whole multiples of cells, so a mask has one value a cell, and images are looked at cell by cell.
"""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from trainer.data.batch import CELLS


def box_sides(boxes: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return which rows and columns of cells boxes cover, (n, 2, 20).

    Args:
        boxes: (n, 4): top, left, height, width in cells.
    """
    cells, start = np.arange(CELLS), boxes[:, :2, None]
    return (cells >= start) & (cells < start + boxes[:, 2:, None])


def box_masks(sides: Tensor) -> Tensor:
    """Return which cells lie in boxes, (n, 20, 1, 20, 1, 1) bool, of what `box_sides` returns.

    It is broadcast over images as `by_cell` shows them.
    """
    return sides[:, 0, :, None, None, None, None] & sides[:, 1, None, None, :, None, None]


def by_cell(images: Tensor) -> Tensor:
    """Return images (n, C, H, H) as (n, 20, H / 20, 20, H / 20, C), without a copy."""
    return images.permute(0, 2, 3, 1).unflatten(2, (CELLS, -1)).unflatten(1, (CELLS, -1))


def erase(images: Tensor, masks: Tensor) -> None:
    """Set the pixels of images (n, C, H, H) in boxes to 0, in place.

    Args:
        images: of any number of channels; H is a multiple of 20.
        masks: of the boxes, as `box_masks` returns them, where the images are.
    """
    by_cell(images).masked_fill_(masks, 0)
