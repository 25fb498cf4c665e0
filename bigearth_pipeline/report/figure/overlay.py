"""A map over a picture: colours of a palette where the map is far from 0, the picture where it is not."""

from typing import Final

import matplotlib
import numpy as np
from numpy.typing import NDArray

SIGNED: Final = "PuOr_r"
"""Palette that keeps its order for people with any kind of colour blindness: orange for, purple against."""
_MOST: Final = 99.5
"""Percentile of the absolute values that gets the full colour, so that single pixels do not decide."""
_OPAQUE: Final = 0.9
_SHADE: Final = 0.35
"""Distance of the two colours from the middle of the palette: bright ones, for land is dark."""


def limit_of(values: NDArray[np.floating]) -> float:
    """Return the absolute value that gets the full colour; 0 for a map of zeros."""
    found = float(np.percentile(np.abs(values), _MOST))
    return found or float(np.abs(values).max())


def overlay(picture: NDArray[np.uint8], values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return a picture under a map, (rows, columns, 3) uint8: orange above 0, purple below.

    Args:
        picture: (rows, columns, 3) uint8.
        values: (rows, columns).
    """
    limit = limit_of(values)
    scaled = np.clip(values / limit, -1, 1) if limit else np.zeros_like(values)
    colours = matplotlib.colormaps[SIGNED](0.5 + _SHADE * np.sign(scaled))[..., :3] * 255
    alpha = _OPAQUE * np.abs(scaled)[..., None]
    found: NDArray[np.uint8] = np.rint(picture * (1 - alpha) + colours * alpha).astype(np.uint8)
    return found
