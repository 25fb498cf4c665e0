"""The float work that systems leave to their users: bands to 120×120, normalised, flipped."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from shards.layout.bands import BANDS, GROUPS, RECORD_VALUES
from tools.peers.registry import Layout

SIZE: Final = 120

_MEAN_AND_STD: Final = {
    "B01": (361.0768, 575.0687),
    "B02": (438.3721, 607.0269),
    "B03": (614.0557, 603.2968),
    "B04": (588.4096, 684.5688),
    "B05": (942.8433, 738.4327),
    "B06": (1769.9316, 1100.4561),
    "B07": (2049.5515, 1275.8054),
    "B08": (2193.2920, 1369.3717),
    "B8A": (2235.5566, 1356.5441),
    "B09": (2241.4553, 1316.3933),
    "B11": (1568.2268, 1070.1613),
    "B12": (997.7325, 813.5276),
}
"""Published statistics of the v2 train split at 120×120, nearest (ConfigILM 0.7, `BENv2_utils`)."""

MEAN: Final = np.array([_MEAN_AND_STD[band][0] for band in BANDS], np.float32)[:, None, None]
STD: Final = np.array([_MEAN_AND_STD[band][1] for band in BANDS], np.float32)[:, None, None]
_FACTOR: Final = 1 / STD

SHAPES: Final[dict[Layout, tuple[int, ...]]] = {"native": (RECORD_VALUES,), "float32": (len(BANDS), SIZE, SIZE)}
DTYPES: Final[dict[Layout, str]] = {"native": "uint16", "float32": "float32"}


def prepare(record: NDArray[np.uint16], image: NDArray[np.float32], *, left_right: bool, up_down: bool) -> None:
    """Make an image of a record, with work done at native resolution where it can be.

    Args:
        record: (80000,) uint16.
        image: (12, 120, 120) float32, is overwritten.
        left_right: mirror rows.
        up_down: mirror columns.
    """
    first = 0
    for group in GROUPS:
        channels = slice(first, first + len(group.bands))
        first = channels.stop
        turned = record[group.slice].reshape(group.shape)[:, :: -1 if up_down else 1, :: -1 if left_right else 1]
        values = turned.astype(np.float32)
        values -= MEAN[channels]
        values *= _FACTOR[channels]
        times = SIZE // group.size
        # Each row once, then that row `times` times: among the fastest of several ways in numpy and torch.
        rows = np.repeat(values, times, axis=2) if times > 1 else values
        image[channels].reshape(len(group.bands), group.size, times, SIZE)[:] = rows[:, :, None]


def reference(record: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Return the image of a record without flips, (12, 120, 120), computed another way than `prepare` does."""
    bands = [
        np.kron(band, np.ones((SIZE // group.size,) * 2))
        for group in GROUPS
        for band in record[group.slice].reshape(group.shape).astype(np.float64)
    ]
    return np.asarray((np.stack(bands) - MEAN) / STD, np.float64)
