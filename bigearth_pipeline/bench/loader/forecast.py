"""Forecast of an epoch of a whole dataset on this machine, from measured rates, its patches and the free memory."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, TypeAlias

import torch

from bigearth_pipeline.bench.rate import Rate
from shards.layout.bands import RECORD_BYTES
from shards.runtime.memory import available_bytes
from shards.text.words import percentage
from trainer.data.stream.cache import SHARE_OF_GPU, SHARE_OF_RAM

DATASETS: Final = {"v2 train": 237_871, "v1": 590_326}
"""Patches of an epoch: the train split of BigEarthNet v2, and all patches of v1."""

Place: TypeAlias = Literal["disk, cold", "disk", "ram", "gpu", "gpu-encoded"]
"""Sources of the records: files behind an empty page cache, files in the page cache (or on a file system in
memory), encoded records that are kept in memory, decoded records that are kept on the device, encoded ones there."""
Sources: TypeAlias = Mapping[Place, Mapping[str, tuple[str, ...]]]
"""For each place, in ascending order of what it takes, and for each kind of images the passes that say how fast they
come from there. Of several at the same time the slowest is the limit."""


@dataclass(frozen=True)
class Memory:
    """Bytes that are free, before a measurement takes any.

    Attributes:
        ram: of the host.
        gpu: of the device; None where that is the CPU.
    """

    ram: int
    gpu: int | None

    @classmethod
    def now(cls, device: torch.device) -> "Memory":
        """Look."""
        return cls(available_bytes(), torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None)

    def lacks(self, place: Place, needed: float) -> str | None:
        """Return why a place has no room for a number of bytes, or None if it has; shares are those of `cache=auto`."""
        match place:
            case "disk, cold":
                return None
            case "disk":
                free, share, what = self.ram, 1.0, "memory free, page cache included"
            case "ram":
                free, share, what = self.ram, SHARE_OF_RAM, "memory free"
            case "gpu" | "gpu-encoded":
                free, share, what = self.gpu or 0, SHARE_OF_GPU, "device memory free"
        if needed <= share * free:
            return None
        part = "" if share == 1 else f"{percentage(share)} of "
        return f"{_gb(needed)} are too much for {part}the {_gb(free)} of {what}"


@dataclass(frozen=True)
class Epoch:
    """Prediction for the epochs of a dataset, after the first one, with records from one place.

    Attributes:
        dataset: its name.
        patches: of an epoch.
        place: where records come from.
        seconds: of an epoch, with the start of the loader, by kind of images; empty where nothing is predicted.
        measured_by: the passes that the seconds follow from, by kind of images; of two it is the slower one.
        why_not: why nothing is predicted.
        is_best: no place is faster beyond the spread of the passes, and none that takes less memory is as fast as that.
    """

    dataset: str
    patches: int
    place: Place
    seconds: dict[str, float]
    measured_by: dict[str, tuple[str, ...]]
    why_not: str | None = None
    is_best: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return asdict(self)


def predict(
    sources: Sources, rates: Mapping[str, Rate], missing: Mapping[str, str], bytes_per_patch: float, memory: Memory
) -> list[Epoch]:
    """Predict epochs of every dataset from every place.

    Args:
        sources: which passes to go by. The best place is that of the last kind of images.
        rates: of the passes, by name.
        missing: why there is no rate of a pass, by its name.
        bytes_per_patch: of a stored record.
        memory: what is free.
    """
    found = []
    for dataset, patches in DATASETS.items():
        epochs: list[Epoch] = []
        limits: dict[Place, Rate] = {}
        for place, passes in sources.items():
            needed = patches * (RECORD_BYTES if place == "gpu" else bytes_per_patch)
            unknown = (missing[name] for names in passes.values() for name in names if name not in rates)
            why_not = next(unknown, None) or memory.lacks(place, needed)
            if why_not is not None:
                epochs.append(Epoch(dataset, patches, place, {}, {}, why_not))
                continue
            seconds = {}
            for images, names in passes.items():
                limits[place] = min((rates[name] for name in names), key=lambda rate: rate.median)
                seconds[images] = limits[place].start + patches / limits[place].median
            epochs.append(Epoch(dataset, patches, place, seconds, dict(passes)))
        best = _best(limits)
        found += [replace(epoch, is_best=epoch.place == best) for epoch in epochs]
    return found


def _best(rates: Mapping[Place, Rate]) -> Place | None:
    """Return the first place that is not slower than the fastest one beyond the spread of their passes."""
    if not rates:
        return None
    fastest = max(rates.values(), key=lambda rate: rate.median)
    return next(place for place, rate in rates.items() if rate.highest >= fastest.lowest)


def _gb(size: float) -> str:
    return f"{size / 1e9:,.1f} GB"
