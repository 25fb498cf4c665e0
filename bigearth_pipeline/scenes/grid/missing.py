"""Shares of windows that are missing: no data, saturated, or hidden by clouds."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.scenes.inputs.description import SATURATED
from shards.layout.bands import B10, B20, BAND_SLICES, GROUP_OF
from shards.layout.statistics import NODATA

HIDDEN: Final = (0, 1, 3, 8, 9, 10)
"""Values of the scene classification that count as missing: no data, saturated or defective, cloud shadows, clouds of
medium and high probability, thin cirrus (Sentinel-2 Products Specification Document, S2-PDGS-TAS-DI-PSD, issue 14.9,
SCENE_CLASSIFICATION)."""
_IS_HIDDEN: Final = np.isin(np.arange(1 << 8), HIDDEN)


def missing_shares(
    records: NDArray[np.uint16], bands: tuple[str, ...], scl: NDArray[Any] | None = None
) -> NDArray[np.float32]:
    """Return the share of each window's area where a band has no data or is saturated, or clouds hide the ground.

    Args:
        records: (n, 80000), digital numbers as they are in the file.
        bands: those that are looked at.
        scl: (n, 60, 60) scene classification; None for a scene without one.

    Returns:
        (n,) from 0 to 1.
    """
    suspect = np.zeros(len(records), np.bool_)
    for band in bands:
        pixels = records[:, BAND_SLICES[band]]
        suspect |= (pixels.min(1) == NODATA) | (pixels.max(1) == SATURATED)
    hidden = None if scl is None else _IS_HIDDEN[np.minimum(scl, _IS_HIDDEN.size - 1)]
    shares = np.zeros(len(records), np.float32)
    if hidden is not None:
        suspect |= hidden.any((1, 2))
    for i in np.flatnonzero(suspect).tolist():
        shares[i] = _mask(records[i], bands, None if hidden is None else hidden[i]).mean()
    return shares


def _mask(record: NDArray[np.uint16], bands: tuple[str, ...], hidden: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """Return which pixels of the 10 m grid are missing, (120, 120)."""
    found = np.zeros((B10.size, B10.size), np.bool_)
    for band in bands:
        size = GROUP_OF[band].size
        pixels = record[BAND_SLICES[band]].reshape(size, size)
        found |= _enlarged((pixels == NODATA) | (pixels == SATURATED))
    if hidden is not None:
        assert hidden.shape == (B20.size, B20.size)
        found |= _enlarged(hidden)
    return found


def _enlarged(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    factor = B10.size // len(mask)
    return mask if factor == 1 else mask.repeat(factor, 0).repeat(factor, 1)
