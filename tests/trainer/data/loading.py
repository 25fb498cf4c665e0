"""Loaders of tests, and the batches that they are to give."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from shards import RECORD_VALUES, Store
from trainer.data.augment.draw import draw
from trainer.data.augment.mix import mix
from trainer.data.bands import BandSelection
from trainer.data.batch import Batch
from trainer.data.loader import Loader
from trainer.data.loader_config import LoaderConfig
from trainer.data.normalisation import Normalisation
from trainer.data.prepare.reference import prepare
from trainer.definition.augmentation import RECIPES

CPU = torch.device("cpu")


CONFIG = LoaderConfig(batch_size=40, device=CPU, seed=5, augmentation=RECIPES["standard"])


def make_loader(store: Store, split: str = "train", bands: str = "all", **options: Any) -> Loader:
    """Return a loader of augmented batches of 40 with the seed 5, unless told otherwise."""
    normalisation = Normalisation.of_train_split(store.manifest, BandSelection.parse(bands))
    return Loader(store, store.index.rows(split), normalisation, replace(CONFIG, **options))


def expected(store: Store, loader: Loader, normalisation: Normalisation, epoch: int, step: int) -> Batch:
    """Return what the reference makes of the store's records for a batch."""
    config = loader.config
    rows, mask = loader.order.epoch(epoch).part(step, config.rank, config.num_ranks)
    records = store.read_into(rows, np.empty((len(rows), RECORD_VALUES), np.uint16))
    draws = draw(config.augmentation, rows, len(normalisation.bands), config.seed, epoch)
    images = prepare(
        torch.from_numpy(records),
        draws,
        normalisation,
        layout=config.layout,
        interpolation=config.interpolation,
    )
    batch = {
        **images,
        "label": torch.from_numpy(store.index.labels()[rows].astype(np.float32)),
        "row": torch.from_numpy(rows),
        "mask": torch.from_numpy(mask),
    }
    return mix(batch, draws)


def batches_of(loader: Loader) -> list[Batch]:
    """Return the batches of the next epoch."""
    return list(loader)
