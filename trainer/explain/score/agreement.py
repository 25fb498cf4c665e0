"""Agreement of maps with the places of a class: pointing game and overlap.

Source of the pointing game: Zhang et al., "Top-down neural attention by excitation backprop" (ECCV 2016,
arXiv:1608.00507), section 4.1. A network may use a place outside of its class, so disagreement is no proof of a fault.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of one map with the pixels of its class.

    Attributes:
        hit: True if the largest value of the map lies on a pixel of the class; False for a map of one value, which
            points nowhere.
        share: of the attribution above 0 that lies on pixels of the class; NaN if no attribution is above 0.
        area: share of the patch that the class covers: what a map without knowledge reaches on average.
        iou: intersection over union of the class and as many pixels with the largest values. Of equal values, only
            some of which are among them, the class has its share.
    """

    hit: bool
    share: float
    area: float
    iou: float


def agreement(pixels: NDArray[np.float32], is_class: NDArray[np.bool_]) -> Agreement:
    """Compare a map with the places of its class.

    Args:
        pixels: (120, 120) float32.
        is_class: (120, 120) bool, True somewhere.

    Raises:
        ValueError: the class covers no pixel.
    """
    count = int(is_class.sum())
    if not count:
        raise ValueError("the class covers no pixel")
    above = np.maximum(pixels, 0, dtype=np.float64)
    total = float(above.sum())
    least = np.partition(pixels, pixels.size - count, axis=None)[pixels.size - count]
    larger, equal = pixels > least, pixels == least
    # The order of equal values, as of the zeros of Grad-CAM, says nothing.
    both = float(is_class[larger].sum()) + (count - int(larger.sum())) * float(is_class[equal].mean())
    return Agreement(
        # Of several largest values, as of a square of occlusion, that in the middle of them.
        hit=bool(np.ptp(pixels)) and bool(is_class[_middle(pixels == pixels.max())]),
        share=float(above[is_class].sum()) / total if total else float("nan"),
        area=count / pixels.size,
        iou=both / (2 * count - both),
    )


def _middle(places: NDArray[np.bool_]) -> tuple[int, int]:
    """Return that of several places which is nearest to their mean."""
    found = np.argwhere(places)
    nearest = int(((found - found.mean(0)) ** 2).sum(1).argmin())
    row, column = found[nearest].tolist()
    return row, column
