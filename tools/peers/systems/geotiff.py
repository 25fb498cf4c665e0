"""The band files as they are, read with rasterio by the workers of a DataLoader."""

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from tools.peers.work.job import Epochs, Job
from tools.peers.work.loading import SETTINGS as LOADING
from tools.peers.work.loading import loader_options
from tools.peers.work.patches import Patches

SETTINGS = f"12 files a patch, driver GTiff, GDAL_DISABLE_READDIR_ON_OPEN=EMPTY_DIR; global shuffle; {LOADING}"


class GeoTiffs(Dataset[tuple[int, NDArray[np.uint16]]]):
    """Numbers and records of patches."""

    def __init__(self, patches: Patches) -> None:
        self._patches = patches

    def __len__(self) -> int:
        return len(self._patches)

    def __getitem__(self, number: int) -> tuple[int, NDArray[np.uint16]]:
        return number, self._patches.read(number)


def open_epochs(job: Job) -> Epochs:
    """Return the epochs."""
    loader = DataLoader(GeoTiffs(job.patches), shuffle=True, **loader_options(job))
    return lambda epoch: loader
