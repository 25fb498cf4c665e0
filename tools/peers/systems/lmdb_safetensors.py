"""LMDB of safetensors: what rico-hdl writes. A value is a patch, one tensor a band; its key is the patch's name."""
# mypy: disable-error-code="import-not-found,import-untyped"

import lmdb
import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from shards.layout.bands import BAND_SLICES, BANDS, GROUP_OF
from tools.peers.work.job import Epochs, Job
from tools.peers.work.loading import SETTINGS as LOADING
from tools.peers.work.loading import loader_options

SETTINGS = f"no lock, no read-ahead; global shuffle; {LOADING}"
MAP_BYTES = 2**40


class Patches(Dataset[tuple[int, NDArray[np.uint16]]]):
    """Numbers and records of patches."""

    def __init__(self, job: Job) -> None:
        self._path, self._keys = str(job.store), job.patches.keys
        self._environment: lmdb.Environment | None = None

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, number: int) -> tuple[int, NDArray[np.uint16]]:
        if self._environment is None:
            # Not before the fork: an environment must not be shared between processes.
            self._environment = lmdb.open(self._path, readonly=True, lock=False, readahead=False, map_size=MAP_BYTES)
        with self._environment.begin(buffers=True) as transaction:
            bands = safetensors.numpy.load(bytes(transaction.get(self._keys[number].encode())))
        return number, np.concatenate([bands[band].ravel() for band in BANDS])


def convert(job: Job) -> None:
    """Write the database, 256 patches a transaction."""
    job.store.mkdir()
    environment = lmdb.open(str(job.store), map_size=MAP_BYTES)
    transaction = environment.begin(write=True)
    for i, (number, record) in enumerate(job.patches.read_all(job.workers), 1):
        bands = {band: record[BAND_SLICES[band]].reshape((GROUP_OF[band].size,) * 2) for band in BANDS}
        transaction.put(job.patches.keys[number].encode(), safetensors.numpy.save(bands))
        if i % 256 == 0:
            transaction.commit()
            transaction = environment.begin(write=True)
    transaction.commit()
    environment.close()


def open_epochs(job: Job) -> Epochs:
    """Return the epochs."""
    loader = DataLoader(Patches(job), shuffle=True, **loader_options(job))
    return lambda epoch: loader
