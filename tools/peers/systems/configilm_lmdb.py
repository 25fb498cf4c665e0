"""ConfigILM's own data set and training transform, on the database of `lmdb_safetensors`."""
# mypy: disable-error-code="import-not-found,import-untyped"

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from configilm.extra._defaults import default_train_transform
from configilm.extra.DataSets.BENv2_DataSet import BENv2DataSet
from torch.utils.data import DataLoader

from shards.layout.bands import BANDS
from tools.peers.work.job import Batch, Epochs, Job
from tools.peers.work.loading import worker_options
from tools.peers.work.pixels import MEAN, SIZE, STD

SETTINGS = (
    "BENv2DataSet, bands interpolated one by one, its default_train_transform (flips, mean and std of torchvision), "
    "default_collate; global shuffle; the workers of loading.py"
)


class TwelveBands(BENv2DataSet):  # type: ignore[misc]
    """ConfigILM's data set for all Sentinel-2 bands, which it has no number for without those of Sentinel-1."""

    avail_chan_configs = {12: "Sentinel-2"}  # noqa: RUF012
    channel_configurations = {12: list(BANDS)}  # noqa: RUF012


def open_epochs(job: Job) -> Epochs:
    """Return the epochs."""
    paths = {
        "images_lmdb": job.store,
        "metadata_parquet": job.patches.metadata,
        # No second table: the first one has all patches.
        "metadata_snow_cloud_parquet": None,
    }
    transform = default_train_transform((SIZE, SIZE), MEAN.ravel().tolist(), STD.ravel().tolist())
    dataset: Any = TwelveBands(paths, transform=transform, img_size=(len(BANDS), SIZE, SIZE), return_extras=True)
    loader: Any = DataLoader(dataset, batch_size=job.batch_size, shuffle=True, **worker_options(job))
    number_of = {key: i for i, key in enumerate(job.patches.keys)}

    def batches() -> Iterator[Batch]:
        for images, _, keys in loader:
            assert isinstance(images, torch.Tensor)
            yield np.array([number_of[key] for key in keys]), images

    return lambda epoch: batches()
