"""Passes over a loader, and over each of its parts alone, to be timed.

The parts are private to `trainer.data.loader`; this is
the only other file that knows them.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

import shards
from bigearth_pipeline.bench.loader.config import LoaderBenchConfig, choose_rows
from bigearth_pipeline.bench.loader.read_stages import CHECKED, READ, READ_INTO, Stage, build_stages
from bigearth_pipeline.bench.loader.titles import CPU_IS_DEVICE, NO_GPU, TO_DEVICE
from bigearth_pipeline.bench.passes import Lap, Pass, count_after_first
from shards import RECORD_VALUES, Store
from shards.errors import NotEnoughMemory
from shards.runtime.threads import Threads
from trainer.data.batch import Layout
from trainer.data.device.encoded import CODEC, can_decode
from trainer.data.loader import Loader
from trainer.data.loader_config import LoaderConfig
from trainer.data.normalisation import Normalisation
from trainer.data.prepare.backend import triton_is_there
from trainer.data.stream.cache import Tier
from trainer.data.stream.read_ahead import ReadAhead
from trainer.definition.augmentation import RECIPES
from trainer.runtime.out_of_memory import out_of_memory_reported

BUFFERS: Final = 4
"""Outputs that take turns, as in a loader: a single one would stay in the processor's cache."""


@contextmanager
def open_passes(
    folder: Path, config: LoaderBenchConfig
) -> Iterator[tuple[Store, LoaderBenchConfig, NDArray[np.int64], dict[str, Pass], dict[str, str]]]:
    """Open a store; yield it, the settings as they fit it, the rows that are read, and what `build_passes` returns.

    Raises:
        ShardError: the store is damaged, or is none.
        OutOfMemory: the device or the host has not enough memory, also while the block runs.
        ValueError: it has no train patches, or fewer than the number requested.
    """
    with ExitStack() as stack:
        stack.enter_context(out_of_memory_reported(config.batch_size))
        store = stack.enter_context(shards.open(folder, num_threads=config.threads))
        config, rows = choose_rows(store, config)
        yield (store, config, rows, *build_passes(store, rows, config, stack))


def build_passes(
    store: Store, rows: NDArray[np.int64], config: LoaderBenchConfig, stack: ExitStack
) -> tuple[dict[str, Pass], dict[str, str]]:
    """Return the passes that there are here, by name, and why there are no others, by name too.

    Args:
        store: open.
        rows: (n,) ascending rows of the index, a multiple of the batch size.
        config: what to measure.
        stack: closes what the passes use.
    """
    normalisation = Normalisation.of_train_split(store.manifest)

    def open_loader(layout: Layout, source: Store = store, tier: Tier = "none") -> Loader:
        settings = LoaderConfig(
            batch_size=config.batch_size,
            device=config.device,
            order=config.order,
            layout=layout,
            augmentation=RECIPES["none" if layout == "record" else config.augment],
            # DALI takes no records that are on the device.
            loader="auto" if tier in ("gpu", "gpu-encoded") and config.loader == "dali" else config.loader,
            cache=tier,
        )
        return stack.enter_context(Loader(source, rows, normalisation, settings))

    images: tuple[Layout, ...] = ("stacked", "native")
    loaders = {layout: open_loader(layout) for layout in (*images, "record")}
    passes: dict[str, Pass] = {name: whole(loader) for name, loader in loaders.items()}
    passes |= {f"prepare_{layout}": _preparation(loaders[layout]) for layout in images}
    passes["host"] = _host_batches(loaders["stacked"])
    outputs = [np.zeros((config.batch_size, RECORD_VALUES), np.uint16) for _ in range(BUFFERS)]
    threads = stack.enter_context(closing(Threads(store.num_threads, "stages")))
    for name, stage in build_stages(store, rows, outputs, threads=threads).items():
        passes[name] = (
            _in_order(loaders["record"], stage)
            if name in (READ, READ_INTO, CHECKED)
            else _shuffled(rows, config.batch_size, stage)
        )
    missing: dict[str, str] = {}
    try:
        # Another store, for what is kept in memory is not read from the files any more.
        kept = stack.enter_context(shards.open(store.folder, num_threads=config.threads))
        kept.keep_in_memory(rows)
        kept.fetch(rows)
        passes |= {f"ram_{layout}": whole(open_loader(layout, kept, "ram")) for layout in images}
    except NotEnoughMemory as err:
        missing |= {f"ram_{layout}": str(err) for layout in images}
    if config.device.type == "cuda":
        passes[TO_DEVICE] = _copies(loaders["record"])
        # They are filled in the warm-up.
        passes |= {f"gpu_{layout}": whole(open_loader(layout, tier="gpu")) for layout in images}
    else:
        missing |= {TO_DEVICE: CPU_IS_DEVICE} | {f"gpu_{layout}": NO_GPU for layout in images}
    if (why_not := _not_encoded(store, config)) is None:
        passes |= {f"gpu_encoded_{layout}": whole(open_loader(layout, tier="gpu-encoded")) for layout in images}
    else:
        missing |= {f"gpu_encoded_{layout}": why_not for layout in images}
    return passes, missing


def _not_encoded(store: Store, config: LoaderBenchConfig) -> str | None:
    """Return why records cannot stay encoded on the device, or None if they can."""
    if config.device.type != "cuda":
        return NO_GPU
    if not can_decode(store):
        return f"not possible: {store.manifest.codec} is not decoded on the GPU, as {CODEC} is"
    if config.loader == "torch" or not triton_is_there(config.device):
        return "not possible: records on the GPU are decoded by Triton only"
    return None


def _in_order(loader: Loader, stage: Stage) -> Pass:
    """Return a pass of a stage over the batches that the loader has, announced to the kernel as the loader does."""

    def run(lap: Lap) -> int:
        epoch = loader.order.epoch(lap.number)
        ahead = ReadAhead(loader._store, epoch, loader.config.order)
        for step in range(len(epoch)):
            ahead.before(step)
            stage(epoch.batch(step), step % BUFFERS)
        return loader.num_patches

    return run


def _shuffled(rows: NDArray[np.int64], batch_size: int, stage: Stage) -> Pass:
    """Return a pass of a stage over rows in an order drawn anew; `rows` are a multiple of the batch size."""

    def run(lap: Lap) -> int:
        plan = np.random.default_rng(lap.number).permutation(rows).reshape(-1, batch_size)
        for step, batch in enumerate(plan):
            stage(batch, step % BUFFERS)
        return len(rows)

    return run


def whole(loader: Loader) -> Pass:
    """Return a pass over all batches of a loader, the next epoch in each lap."""

    def run(lap: Lap) -> int:
        count = count_after_first((len(batch["row"]) for batch in loader), len(loader), lap)
        finish(loader.config.device)
        return count

    return run


def _host_batches(loader: Loader) -> Pass:
    """Return a pass of what the loader's reading thread does: records, labels, draws."""

    def run(lap: Lap) -> int:
        count, held = 0, deque[NDArray[Any]]()
        for host in loader.reader.batches(lap.number, 0):
            count += len(host.rows)
            held.append(host.buffer)
            if len(held) == BUFFERS:
                loader._buffers.give(held.popleft())
        while held:
            loader._buffers.give(held.popleft())
        return count

    return run


def _preparation(loader: Loader) -> Pass:
    """Return a pass of what the loader's preparing thread does, on host batches that are in memory already.

    On a GPU their copy to the device is a part of it.
    """
    hosts = list(islice(loader.reader.batches(0, 0), BUFFERS))

    def run(lap: Lap) -> int:
        batches = islice(cycle(hosts), len(loader))
        counts = (len(prepared.batch["row"]) for prepared in loader._preparation.run(batches))
        count = count_after_first(counts, len(loader), lap)
        finish(loader.config.device)
        return count

    return run


def _copies(loader: Loader) -> Pass:
    """Return a pass that copies records from the loader's host memory, page-locked, to its GPU."""
    hosts = list(islice(loader.reader.batches(0, 0), BUFFERS))
    sources = [torch.from_numpy(host.records) for host in hosts]
    targets = [torch.empty_like(source, device=loader.config.device) for source in sources]

    def run(lap: Lap) -> int:
        count = 0
        for source, target in islice(cycle(zip(sources, targets, strict=True)), len(loader)):
            target.copy_(source, non_blocking=True)
            count += len(source)
        finish(loader.config.device)
        return count

    return run


def finish(device: torch.device) -> None:
    """Wait until a device has done all that was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
