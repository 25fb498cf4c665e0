"""Check that digital numbers have the offset that is to be taken from them: metadata may be wrong, or it is taken."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.errors import BadScene
from shards.layout.bands import BAND_SLICES
from shards.layout.statistics import NODATA
from shards.text.words import percentage

_LEAST_PIXELS: Final = 10_000
"""Valid pixels below which nothing can be said."""
_MOST_BELOW: Final = 0.05
"""Share of pixels below half of the offset, reflectances below -0.05, from which on the numbers have none.

It is 0.19 in a clear scene without the offset, and 0 in one full of clouds, which is not recognised."""


def check_offset(name: str, records: NDArray[np.uint16], bands: tuple[str, ...], offsets: Mapping[str, int]) -> bool:
    """Check that digital numbers may have the offsets that are to be taken from them.

    Args:
        name: of the scene.
        records: (n, 80000) uint16, as they are in the files.
        bands: those that are looked at.
        offsets: what is to be subtracted, by band.

    Returns:
        Whether there were enough valid pixels to tell.

    Raises:
        BadScene: too many are below the offset for them to have it.
    """
    valid = below = 0
    for band in bands:
        values = records[:, BAND_SLICES[band]]
        is_valid = values != NODATA
        valid += int(np.count_nonzero(is_valid))
        below += int(np.count_nonzero(is_valid & (values < offsets.get(band, 0) // 2)))
    if valid < _LEAST_PIXELS:
        return False
    if below > _MOST_BELOW * valid:
        raise BadScene(
            f"{percentage(below / valid)} of the pixels of {name} are below half of the offset of "
            f"{max(offsets.values())} that its processing baseline has, so they are without it: say "
            "`offset=none` to use them as they are, or the right baseline"
        )
    return True
