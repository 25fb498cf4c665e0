"""The stages of a build, each alone, in all processes at the same time."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from crc32c import crc32c

from bigearth_pipeline.bench.rate import Rate
from bigearth_pipeline.build.plan import PatchEntry
from bigearth_pipeline.build.task import facts_of
from bigearth_pipeline.errors import BadPatch, PipelineError
from bigearth_pipeline.source.tiff.reader import TiffReader
from bigearth_pipeline.spawned import SpawnedWorkers
from shards.codec.registry import get_codec
from shards.layout.bands import RECORD_VALUES
from shards.layout.statistics import Histograms
from shards.write.files import open_shard_files
from shards.write.options import StoreOptions

_PATCHES: Final = 1024  # for each process


def measure_stages(
    items: Sequence[tuple[str, str]], codec: str, scratch: Path, workers: int, repeats: int
) -> dict[str, Rate]:
    """Time each stage in all processes at the same time, each with patches of its own."""
    parts = [items[number::workers][:_PATCHES] for number in range(workers)]
    with SpawnedWorkers(workers) as pool:
        try:
            names = pool.each(_prepare, [(part, codec, scratch / f"stage{i}.tar") for i, part in enumerate(parts)])[0]
            # The first round warms up.
            rounds = [
                {name: sum(pool.each(_time_stage, [name] * workers)) for name in names} for _ in range(repeats + 1)
            ][1:]
        except (BadPatch, OSError) as err:
            raise PipelineError(str(err)) from err
    return {name: Rate(tuple(rates[name] for rates in rounds)) for name in names}


_prepared: dict[str, tuple[int, Callable[[], object]]] = {}
"""In a process of the benchmark: patches and work of each stage by name."""


def _prepare(task: tuple[Sequence[tuple[str, str]], str, Path]) -> list[str]:
    """Prepare the stages in a process, and return their names."""
    items, codec_name, path = task
    _prepared.update((name, (len(items), stage)) for name, stage in _stages(items, codec_name, path).items())
    return list(_prepared)


def _time_stage(name: str) -> float:
    """Return the rate of a stage in patches per second."""
    num_patches, stage = _prepared[name]
    started = time.perf_counter()
    stage()
    return num_patches / (time.perf_counter() - started)


def _stages(items: Sequence[tuple[str, str]], codec_name: str, path: Path) -> dict[str, Callable[[], object]]:
    codec = get_codec(codec_name)
    records = np.empty((len(items), RECORD_VALUES), np.uint16)
    with TiffReader() as reader:
        places = [reader.read_patch(folder, key, records[i]) for i, (key, folder) in enumerate(items)]
    encoded = [codec.encode(record) for record in records]
    known = [
        facts_of(PatchEntry(key, folder, "train", 1, None, "2017-01-01", False, False), place, 0)
        for (key, folder), place in zip(items, places, strict=True)
    ]

    options = StoreOptions(path.parent, "webdataset", codec_name, len(items))

    def read(always_gdal: bool) -> None:
        with TiffReader(always_gdal=always_gdal) as reader:
            record = np.empty(RECORD_VALUES, np.uint16)
            for key, folder in items:
                reader.read_patch(folder, key, record)

    def count() -> None:
        histograms = Histograms()
        for record in records:
            histograms.next_record()[:] = record
            histograms.commit()

    def write() -> None:
        with open(path, "wb", buffering=1 << 14) as file:
            files = open_shard_files(options, "train", 0, lambda relative: file)
            for facts, record in zip(known, encoded, strict=True):
                files.add(facts, [record])

    return {
        "read": lambda: read(False),
        "histograms": count,
        "encode": lambda: [codec.encode(record) for record in records],
        "crc32c": lambda: [crc32c(record) for record in encoded],
        "write + sha256": write,
        "gdal": lambda: read(True),
    }
