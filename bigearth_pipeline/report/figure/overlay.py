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
_GREY: Final = 110
"""Like the middle of a patch in true colour."""
_STOPS: Final = 13


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


def colour_key(name: str) -> str:
    """Return the colours of `overlay` over grey, from −1 to 1 of the value with the full colour, as SVG.

    Args:
        name: identifier on the page, letters, digits and `-`.
    """
    values = np.linspace(-1, 1, _STOPS)[None]
    # Not `overlay` of these values alone, which would take a percentile of so few.
    wide = overlay(np.full((1, 100 * _STOPS, 3), _GREY, np.uint8), values.repeat(100, 1))[0, 50::100].tolist()
    stops = "".join(
        f'<stop offset="{i / (_STOPS - 1):.4f}" stop-color="#{red:02x}{green:02x}{blue:02x}"/>'
        for i, (red, green, blue) in enumerate(wide)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" id="{name}" viewBox="0 0 240 10" role="img" '
        'aria-label="Colours of the maps: purple lowers the score, grey is 0, orange raises it">'
        f'<defs><linearGradient id="{name}-gradient">{stops}</linearGradient></defs>'
        f'<rect width="240" height="10" fill="url(#{name}-gradient)"/></svg>'
    )
