"""Rate of the batches from a store, and the rate of each stage that they go through."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from bigearth_pipeline.bench.environment import describe_environment
from bigearth_pipeline.bench.loader.cold import RecordPages, measure_cold
from bigearth_pipeline.bench.loader.config import LoaderBenchConfig
from bigearth_pipeline.bench.loader.forecast import Epoch, Memory, Sources, predict
from bigearth_pipeline.bench.loader.passes import open_passes
from bigearth_pipeline.bench.loader.read_stages import COPY, DECODE, READ, READ_INTO
from bigearth_pipeline.bench.passes import take_turns
from bigearth_pipeline.bench.rate import Rate
from shards.layout.bands import RECORD_BYTES

SOURCES: Final[Sources] = {
    "disk": {"stacked": ("stacked",), "native": ("native",)},
    # No pass makes images from an empty page cache.
    "disk, cold": {"stacked": ("cold_record", "stacked"), "native": ("cold_record", "native")},
    "ram": {"stacked": ("ram_stacked",), "native": ("ram_native",)},
    "gpu-encoded": {"stacked": ("gpu_encoded_stacked",), "native": ("gpu_encoded_native",)},
    "gpu": {"stacked": ("gpu_stacked",), "native": ("gpu_native",)},
}
"""The passes that predictions go by."""


@dataclass(frozen=True)
class LoaderBench:
    """Results of a measurement of the loader.

    Attributes:
        store: format, codec and bytes of a record.
        config: batch size, threads, order and the like.
        rates: by pass.
        missing: why a pass has no rate, by pass.
        warm_share: share of the records' pages that were in the page cache after the passes that read from there; None
            where the kernel does not tell.
        memory: what was free before.
        environment: what it was measured on.
    """

    store: dict[str, Any]
    config: dict[str, Any]
    rates: dict[str, Rate]
    missing: dict[str, str]
    warm_share: float | None
    memory: Memory
    environment: dict[str, Any]

    @property
    def bound(self) -> str:
        """The pass that the records cannot come faster than: decoding alone, or copying where nothing is encoded."""
        return DECODE if DECODE in self.rates else COPY

    @property
    def share_of_bound(self) -> float:
        """Rate of the loader's records as a share of `bound`."""
        return self.rates["record"].share_of(self.rates[self.bound])

    @property
    def epochs(self) -> list[Epoch]:
        """Predictions for epochs of whole datasets."""
        return predict(SOURCES, self.rates, self.missing, self.store["bytes_per_patch"], self.memory)

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return {
            "store": self.store,
            "config": self.config,
            "rates": {name: rate.to_json() for name, rate in self.rates.items()},
            "missing": self.missing,
            "bound": self.bound,
            "share_of_bound": self.share_of_bound,
            "warm_share": self.warm_share,
            "memory": asdict(self.memory),
            "epochs": [epoch.to_json() for epoch in self.epochs],
            "environment": self.environment,
        }


def bench_loader(folder: Path, config: LoaderBenchConfig, memory: Memory, say: Callable[[str], None]) -> LoaderBench:
    """Measure a store's loader and its stages.

    Args:
        folder: of the store.
        config: what to measure.
        memory: what is free before any measurement: the predictions go by it.
        say: receives what is measured now.

    Raises:
        ShardError: the store is damaged, or is none.
        OutOfMemory: the device or the host has not enough memory.
        ValueError: it has no train patches, or fewer than the number requested.
    """
    with open_passes(folder, config) as (store, config, rows, passes, missing):
        rates = take_turns(
            passes, repeats=config.repeats, warm_up=config.warm_up, least_seconds=config.least_seconds, say=say
        )
        pages = RecordPages.of(store, rows)
        try:
            warm_share = pages.share_in_cache()
        except OSError:
            warm_share = None  # `measure_cold` says why.
        cold = {name: passes[name] for name in (READ, READ_INTO, "record")}
        found = measure_cold(cold, pages, config.repeats, say, config.least_seconds)
        if isinstance(found, str):
            missing |= {f"cold_{name}": found for name in cold}
        else:
            rates |= {f"cold_{name}": rate for name, rate in found.items()}
        return LoaderBench(
            store={
                "format": store.manifest.format,
                "codec": store.manifest.codec,
                "bytes_per_patch": store.encoded_bytes(rows) / len(rows),
                "decoded_bytes_per_patch": RECORD_BYTES,
            },
            config={
                "patches": len(rows),
                "batch_size": config.batch_size,
                "threads": store.num_threads,
                "order": config.order,
                "augment": config.augment,
                "repeats": config.repeats,
                "least_seconds": config.least_seconds,
            },
            rates=rates,
            missing=missing,
            warm_share=warm_share,
            memory=memory,
            environment=describe_environment({"store": folder}, config.device),
        )
