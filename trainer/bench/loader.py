"""How fast batches come from a store, beside each of the stages that they go through."""

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

import shards
from shards import RECORD_VALUES
from shards.bands import RECORD_BYTES
from shards.threads import Threads
from trainer.bench.environment import describe_environment
from trainer.bench.passes import Rate, take_turns
from trainer.bench.read_stages import COPY, DECODE, READ, READ_INTO, TAKE, build_stages
from trainer.data.augment import RECIPES
from trainer.data.batch import Layout
from trainer.data.loader import Backend, Loader, LoaderConfig
from trainer.data.normalisation import Normalisation
from trainer.data.order import Kind

TITLES: Final = {
    READ: "reading the stored bytes",
    DECODE: "decoding bytes in memory",
    COPY: "copying records by index, one by one",
    TAKE: "copying records by index, with numpy.take",
    READ_INTO: "reading and decoding into a batch",
    "record": "loader, uint16 records",
    "stacked": "loader, images at 10 m",
    "native": "loader, images at native resolution",
}
"""What each pass does, for people."""

_BUFFERS: Final = 4
"""Outputs of the stages that take turns, as in a loader: a single one would stay in the processor's cache."""


@dataclass(frozen=True, kw_only=True)
class LoaderBenchConfig:
    """What to measure.

    Attributes:
        batch_size: patches of a batch.
        threads: decode threads; None for the cores that this process may use.
        kind: order of the patches.
        augment: recipe of the images.
        backend: what prepares the images.
        repeats: timed passes over the patches.
        warm_up: passes before these.
        patches: patches of a pass; None for the train split, up to 16,384.
        device: where the batches go.
    """

    batch_size: int = 256
    threads: int | None = None
    kind: Kind = "global"
    augment: str = "flips"
    backend: Backend = "auto"
    repeats: int = 5
    warm_up: int = 1
    patches: int | None = None
    device: torch.device


@dataclass(frozen=True)
class LoaderBench:
    """What was measured.

    Attributes:
        store: format, codec and bytes of a record.
        config: batch size, threads, order and the like.
        rates: by pass.
        environment: what it was measured on.
    """

    store: dict[str, Any]
    config: dict[str, Any]
    rates: dict[str, Rate]
    environment: dict[str, Any]

    @property
    def bound(self) -> str:
        """The pass that the records cannot come faster than: decoding alone, or copying where nothing is encoded."""
        return DECODE if DECODE in self.rates else COPY

    @property
    def share_of_bound(self) -> float:
        """Rate of the loader's records as a share of `bound`."""
        return self.rates["record"].share_of(self.rates[self.bound])

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return {
            "store": self.store,
            "config": self.config,
            "rates": {name: rate.to_json() for name, rate in self.rates.items()},
            "bound": self.bound,
            "share_of_bound": self.share_of_bound,
            "environment": self.environment,
        }


def bench_loader(folder: Path, config: LoaderBenchConfig, watch: Callable[[str], None]) -> LoaderBench:
    """Measure a store's loader and its stages.

    Args:
        folder: of the store.
        config: what to measure.
        watch: is told what is going on.

    Raises:
        ShardError: the store is damaged, or is none.
        ValueError: it has fewer patches than a batch.
    """
    with ExitStack() as stack:
        store = stack.enter_context(shards.open(folder, num_threads=config.threads))
        count = min(config.patches or 16_384, len(store.index.rows("train")))
        count -= count % config.batch_size
        if not count:
            raise ValueError(f"{folder} has {len(store.index.rows('train'))} train patches, fewer than a batch")
        # A random part: the first rows would lie in a few shards only.
        rows = np.sort(np.random.default_rng(0).permutation(store.index.rows("train"))[:count])
        outputs = [np.zeros((config.batch_size, RECORD_VALUES), np.uint16) for _ in range(_BUFFERS)]
        threads = stack.enter_context(closing(Threads(store.num_threads, "stages")))
        passes: dict[str, Callable[[int], int]] = {}
        for name, stage in build_stages(store, rows, outputs, verify=False, threads=threads).items():

            def run(number: int, stage: Any = stage) -> int:
                plan = np.random.default_rng(number).permutation(rows).reshape(-1, config.batch_size)
                for i, batch in enumerate(plan):
                    stage(batch, i % _BUFFERS)
                return count

            passes[name] = run
        normalisation = Normalisation.of_train_split(store.manifest)
        layouts: tuple[Layout, ...] = ("record", "stacked", "native")
        for layout in layouts:
            loader = Loader(
                store,
                rows,
                normalisation,
                LoaderConfig(
                    batch_size=config.batch_size,
                    device=config.device,
                    kind=config.kind,
                    layout=layout,
                    augmentation=RECIPES["none" if layout == "record" else config.augment],
                    backend=config.backend,
                ),
            )
            stack.enter_context(loader)

            def load(number: int, loader: Loader = loader) -> int:
                for _ in loader:
                    pass
                if config.device.type == "cuda":
                    torch.cuda.synchronize(config.device)
                return count

            passes[layout] = load
        rates = take_turns(passes, repeats=config.repeats, warm_up=config.warm_up, watch=watch)
        return LoaderBench(
            store={
                "format": store.manifest.format,
                "codec": store.manifest.codec,
                "bytes_per_patch": store.encoded_bytes(rows) / count,
                "decoded_bytes_per_patch": RECORD_BYTES,
            },
            config={
                "patches": count,
                "batch_size": config.batch_size,
                "threads": store.num_threads,
                "order": config.kind,
                "augment": config.augment,
                "repeats": config.repeats,
            },
            rates=rates,
            environment=describe_environment(folder, config.device),
        )
