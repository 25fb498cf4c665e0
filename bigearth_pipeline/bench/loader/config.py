"""Settings of the benchmark of the loader, and the choice of the patches that it measures with."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from bigearth_pipeline.bench.passes import LEAST_SECONDS
from shards import Store
from shards.errors import InvalidValue
from shards.text.words import listed
from trainer.data.order import Kind
from trainer.definition.choices import Backend


@dataclass(frozen=True, kw_only=True)
class LoaderBenchConfig:
    """Settings of a measurement of the loader.

    Attributes:
        batch_size: patches of a batch.
        threads: decode threads; None for the cores that this process may use.
        order: of the patches.
        augment: recipe of the images.
        loader: program that prepares the images.
        repeats: timed passes over the patches.
        warm_up: passes before these, of one lap each.
        least_seconds: timed seconds until which a pass repeats its lap.
        patches: patches of a lap; None for the train split, up to 16,384.
        device: where the batches go.
    """

    batch_size: int = 256
    threads: int | None = None
    order: Kind = "global"
    augment: str = "flips"
    loader: Backend = "auto"
    repeats: int = 5
    warm_up: int = 1
    least_seconds: float = LEAST_SECONDS
    patches: int | None = None
    device: torch.device


def choose_rows(store: Store, config: LoaderBenchConfig) -> tuple[LoaderBenchConfig, NDArray[np.int64]]:
    """Return the settings as they fit the store, and the patches of the train split that the laps go over.

    A batch is made as small as the lap if that has fewer patches. The patches are ascending rows, a multiple of the
    batch size. They are a random part if the order is `global`, for the first rows would lie in a few shards only. The
    other orders read shards in sequence, so they get whole ones, chosen at random; only the last of these is cut.

    Raises:
        ValueError: the split has no patches, or fewer than the number requested.
    """
    train = store.index.rows("train")
    if not len(train):
        found = listed([f"{info.count:,} of {split}" for split, info in store.manifest.splits.items()])
        raise InvalidValue(
            f"{store.folder} has no train patches, over which the laps go, only {found}; name a store that has some"
        )
    if config.patches is not None and config.patches > len(train):
        raise InvalidValue(f"`patches={config.patches}`: {store.folder} has {len(train)} train patches; give fewer")
    count = min(config.patches or 16_384, len(train))
    config = replace(config, batch_size=min(config.batch_size, count))
    count -= count % config.batch_size
    rng = np.random.default_rng(0)
    if config.order == "global":
        return config, np.sort(rng.permutation(train)[:count])
    place = rng.permutation(len(store.manifest.shards))[store.shard_of(train)]
    return config, np.sort(train[np.argsort(place, kind="stable")[:count]])
