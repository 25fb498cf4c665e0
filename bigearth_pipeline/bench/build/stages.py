"""The stages of a build, each alone, in all processes at the same time."""

import multiprocessing
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from crc32c import crc32c

from bigearth_pipeline.bench.build.rate import Rate
from bigearth_pipeline.build.plan import PatchEntry
from bigearth_pipeline.build.task import facts_of
from bigearth_pipeline.errors import BadPatch, PipelineError
from bigearth_pipeline.source.tiff.reader import TiffReader
from shards.codec.registry import get_codec
from shards.container.tar import TarShardWriter
from shards.layout.bands import RECORD_VALUES
from shards.layout.classes import label_bytes
from shards.layout.fields import json_member
from shards.layout.statistics import Histograms

_PATCHES: Final = 1024  # for each process


def measure_stages(
    items: Sequence[tuple[str, str]], codec: str, scratch: Path, workers: int, repeats: int
) -> dict[str, Rate]:
    """Time each stage in all processes at the same time, each with patches of its own."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(workers)
    results = context.SimpleQueue()
    processes = []
    for number in range(workers):
        part = items[number::workers][:_PATCHES]
        arguments = (part, codec, scratch / f"stage{number}.tar", repeats, barrier, results)
        processes.append(context.Process(target=_time_stages, args=arguments))
    for process in processes:
        process.start()
    found = [results.get() for _ in processes]
    for process in processes:
        process.join()
    for result in found:
        if isinstance(result, str):
            raise PipelineError(result)
    rates = {name: np.sum([result[name] for result in found], axis=0) for name in found[0]}
    return {name: Rate.of(values.tolist()) for name, values in rates.items()}


def _time_stages(
    items: Sequence[tuple[str, str]], codec_name: str, path: Path, repeats: int, barrier: Any, results: Any
) -> None:
    """Put the rates of each stage, a list of repeats by name, into the queue; an error as text."""
    try:
        stages = _stages(items, codec_name, path)
        rates: dict[str, list[float]] = {name: [] for name in stages}
        for _ in range(repeats + 1):
            for name, stage in stages.items():
                barrier.wait()
                started = time.perf_counter()
                stage()
                rates[name].append(len(items) / (time.perf_counter() - started))
        # The first round warms up.
        results.put({name: values[1:] for name, values in rates.items()})
    except (BadPatch, OSError) as err:
        # First, so that the reason comes before the complaints of those that wait.
        results.put(str(err))
        barrier.abort()
    except threading.BrokenBarrierError:
        results.put("another process of the benchmark failed")


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
            tar = TarShardWriter(file)
            for facts, record in zip(known, encoded, strict=True):
                tar.add(facts.key, record, label_bytes(facts.label_mask), json_member(facts))

    return {
        "read": lambda: read(False),
        "histograms": count,
        "encode": lambda: [codec.encode(record) for record in records],
        "crc32c": lambda: [crc32c(record) for record in encoded],
        "write + sha256": write,
        "gdal": lambda: read(True),
    }
