"""How fast records come from a store into memory, in stages, each beside the least that it could take.

All stages visit the same rows in the same order with as many threads, and take turns, so that what else the machine
does falls on all of them alike.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeAlias

import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray

from shards import CODECS, RECORD_VALUES, Store
from shards.index import PARTS
from shards.threads import Threads

READ: Final = "read"
"""The stored bytes alone, into scratch memory."""
DECODE: Final = "decode"
"""Nothing but `numcodecs.blosc.decompress` of stored bytes that are in memory already."""
COPY: Final = "copy"
"""Nothing but `numpy.copyto` of uncompressed records that are in memory already, one by one."""
TAKE: Final = "take"
"""Nothing but `numpy.take` of uncompressed records that are in memory already, one call a thread and batch."""
READ_INTO: Final = "read_into"
"""`Store.read_into`: both."""

_BUFFERS: Final = 4
"""Outputs that take turns, as in a loader: a single one would stay in the processor's cache."""

Stage: TypeAlias = Callable[[NDArray[np.int64], int], object]
"""Takes rows of the index and the number of the output."""


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """What to measure.

    Attributes:
        batch_size: patches of a batch.
        repeats: timed passes of each stage over the rows.
        warm_up: passes before these.
        verify: whether `read_into` and `read` compare records with their checksums.
        seed: seed of the order, which is another one in every pass.
    """

    batch_size: int = 256
    repeats: int = 10
    warm_up: int = 2
    verify: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("batch_size", 1), ("repeats", 1), ("warm_up", 0)):
            if (value := getattr(self, name)) < least:
                raise ValueError(f"{name} is {value}, expected at least {least}")


@dataclass(frozen=True)
class Rates:
    """Patches per second of one stage, by pass."""

    stage: str
    patches_per_second: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median of the passes."""
        return statistics.median(self.patches_per_second)

    @property
    def spread(self) -> tuple[float, float]:
        """Slowest and fastest pass."""
        return min(self.patches_per_second), max(self.patches_per_second)


@dataclass(frozen=True)
class StageRates:
    """Rates of all stages of one store.

    Attributes:
        store_format: `webdataset` or `zarr`.
        codec: name of the record codec.
        num_threads: threads of every stage.
        num_patches: patches of one pass.
        rates: by stage.
    """

    store_format: str
    codec: str
    num_threads: int
    num_patches: int
    rates: dict[str, Rates]

    def share(self, stage: str, of: str) -> float:
        """Return the rate of one stage as a share of another's: the median over the passes, for they took turns."""
        pairs = zip(self.rates[stage].patches_per_second, self.rates[of].patches_per_second, strict=True)
        return statistics.median(rate / other for rate, other in pairs)


def measure_stages(store: Store, rows: NDArray[np.int64], config: StageConfig) -> StageRates:
    """Time all stages over rows of a store; it takes the host memory of their stored bytes meanwhile.

    Args:
        store: open, with the threads that are to be measured. Rows that it keeps in memory are read there.
        rows: (n,) rows of the index, at least a batch; what is beyond the last whole batch is left out in each pass.
        config: what to measure.

    Raises:
        ValueError: there are fewer rows than a batch holds.
    """
    if len(rows) < config.batch_size:
        raise ValueError(f"{len(rows)} rows, expected at least one batch of {config.batch_size}")
    rng = np.random.default_rng(config.seed)
    outputs = [np.zeros((config.batch_size, RECORD_VALUES), np.uint16) for _ in range(_BUFFERS)]
    num_batches = len(rows) // config.batch_size
    with closing(Threads(store.num_threads, "stages")) as threads:
        stages = build_stages(store, rows, outputs, verify=config.verify, threads=threads)
        rates: dict[str, list[float]] = {name: [] for name in stages}
        for number in range(config.warm_up + config.repeats):
            plan = rng.permutation(rows)[: num_batches * config.batch_size].reshape(num_batches, -1)
            for name in rng.permutation(list(stages)).tolist():
                start = time.perf_counter()
                for i, batch in enumerate(plan):
                    stages[name](batch, i % _BUFFERS)
                seconds = time.perf_counter() - start
                if number >= config.warm_up:
                    rates[name].append(plan.size / seconds)
    return StageRates(
        store_format=store.manifest.format,
        codec=store.manifest.codec,
        num_threads=store.num_threads,
        num_patches=num_batches * config.batch_size,
        rates={name: Rates(name, tuple(values)) for name, values in rates.items()},
    )


def build_stages(
    store: Store, rows: NDArray[np.int64], outputs: list[NDArray[np.uint16]], *, verify: bool, threads: Threads
) -> dict[str, Stage]:
    """Return the stages that there are for a store's codec, by name.

    Args:
        store: open; `read` and `read_into` use its own threads.
        rows: (n,) rows of the index, which batches may consist of.
        outputs: C-contiguous uint16 of shape (m, 80000), for batches of m patches.
        verify: whether `read` and `read_into` compare records with their checksums.
        threads: what the other stages use.
    """
    stages: dict[str, Stage] = {
        READ: lambda batch, _: store.fetch(batch, verify=verify),
        READ_INTO: lambda batch, output: store.read_into(batch, outputs[output], verify=verify),
    }
    pieces = store.read_encoded(rows)
    place = np.zeros(len(store), np.int64)
    place[rows] = np.arange(len(rows))
    if CODECS[store.manifest.codec].is_raw:
        records = np.frombuffer(b"".join(pieces), np.uint16).reshape(len(rows), RECORD_VALUES)
        return {**stages, **_copy_stages(records, place, outputs, threads)}
    parts = PARTS[store.manifest.format].values()
    return {**stages, DECODE: _decode_stage(pieces, list(parts), place, outputs, threads)}


def _decode_stage(
    pieces: list[bytes],
    parts: list[slice],
    place: NDArray[np.int64],
    outputs: list[NDArray[np.uint16]],
    threads: Threads,
) -> Stage:
    # All that can be done beforehand is, so that nothing but the decoder is timed.
    targets = [[record[values] for record in output for values in parts] for output in outputs]

    def work(rest: Iterator[tuple[int, NDArray[np.uint16]]]) -> None:
        for source, target in rest:
            blosc.decompress(pieces[source], target)

    def decode(batch: NDArray[np.int64], output: int) -> None:
        sources = place[batch][:, None] * len(parts) + np.arange(len(parts))
        threads.run(work, list(zip(sources.ravel().tolist(), targets[output], strict=True)))

    return decode


def _copy_stages(
    records: NDArray[np.uint16], place: NDArray[np.int64], outputs: list[NDArray[np.uint16]], threads: Threads
) -> dict[str, Stage]:
    def work(rest: Iterator[tuple[int, NDArray[np.uint16]]]) -> None:
        for source, target in rest:
            np.copyto(target, records[source])

    def copy(batch: NDArray[np.int64], output: int) -> None:
        threads.run(work, list(zip(place[batch].tolist(), outputs[output], strict=True)))

    def take(batch: NDArray[np.int64], output: int) -> None:
        def work(rest: Iterator[slice]) -> None:
            for part in rest:
                # NumPy writes straight into `out` only if it need not raise for a wrong row.
                np.take(records, place[batch[part]], axis=0, out=outputs[output][part], mode="clip")

        cuts = [len(batch) * i // threads.count for i in range(threads.count + 1)]
        threads.run(work, [slice(*cut) for cut in pairwise(cuts)])

    return {COPY: copy, TAKE: take}
