"""Random records, normalisations and augmentations, and batches of them in host memory."""

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from shards import BANDS
from shards.layout.bands import RECORD_VALUES
from trainer.data.batch import CELLS, Draws, HostBatch
from trainer.data.normalisation import Normalisation
from trainer.definition.augmentation import Augmentation

NOTHING = Draws()
ALL_TURNS = np.array([[t, x, y] for t in (0, 1) for x in (0, 1) for y in (0, 1)], np.uint8)

selections = st.permutations(BANDS).flatmap(lambda names: st.integers(1, 12).map(lambda n: tuple(names[:n])))
"""Any bands in any order."""


def random_records(n: int, seed: int = 0, high: int = 10_000) -> NDArray[np.uint16]:
    """Return records of independent pixels below `high`."""
    return np.random.default_rng(seed).integers(0, high, (n, RECORD_VALUES), np.uint16)


def identity(bands: tuple[str, ...] = BANDS) -> Normalisation:
    """Return the normalisation that leaves pixels as they are."""
    return Normalisation.standard(bands, [0.0] * len(bands), [1.0] * len(bands))


def standard(bands: tuple[str, ...] = BANDS) -> Normalisation:
    """Return a normalisation with other constants for each band, whatever its channel."""
    places = [BANDS.index(band) for band in bands]
    return Normalisation.standard(bands, [400.3 + 200 * i for i in places], [500.7 + 70 * i for i in places])


def percentile(bands: tuple[str, ...] = BANDS) -> Normalisation:
    """Return a normalisation to 0 … 1 that cuts off both ends."""
    places = [BANDS.index(band) for band in bands]
    mean, low, width = ([a + b * i for i in places] for a, b in ((3000.7, 150), (900, 60), (5000, 80)))
    return Normalisation(bands, tuple(mean), tuple(low), tuple(width), clamp=True)


def host_batch(records: NDArray[np.uint16], draws: Draws = NOTHING, first_row: int = 0) -> HostBatch:
    """Return a host batch of consecutive rows with a label each, every third of them only a stand-in."""
    n = len(records)
    labels = np.zeros((n, 19), np.float32)
    labels[np.arange(n), np.arange(n) % 19] = 1
    return HostBatch(records, labels, np.arange(first_row, first_row + n), np.arange(n) % 3 < 2, draws)


@st.composite
def shares(draw: st.DrawFn) -> tuple[float, float]:
    """Ranges of shares of an area."""
    low = draw(st.floats(0.01, 1))
    return low, draw(st.floats(low, 1))


def augmentations() -> st.SearchStrategy[Augmentation]:
    """Augmentations of every kind and all of their combinations."""
    return st.builds(
        Augmentation,
        turn=st.sampled_from(["none", "flips", "d4"]),
        crop=st.sampled_from(["none", "pad", "resized"]),
        crop_pad=st.integers(1, CELLS - 1),
        crop_scale=shares(),
        gain=st.sampled_from([0.0, 0.3]),
        offset=st.sampled_from([0.0, 0.5]),
        band_dropout=st.sampled_from([0.0, 0.3, 0.9]),
        erase=st.sampled_from([0.0, 0.5, 1.0]),
        erase_area=shares(),
        mixup=st.sampled_from([0.0, 0.2, 1.0]),
        cutmix=st.sampled_from([0.0, 0.5, 1.0]),
    )
