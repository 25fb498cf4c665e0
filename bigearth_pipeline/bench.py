"""`bep bench build`: what the stages of a build reach alone and together, and a plain converter beside them.

The plain converter reads each band with rasterio and writes with `webdataset.ShardWriter`, in as many processes, and
makes neither statistics nor checksums. Both run in turn, several times, on the same source.
"""

import io
import multiprocessing
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
from crc32c import crc32c

from bigearth_pipeline.build import BuildSummary, Watcher, build
from bigearth_pipeline.config import BuildConfig
from bigearth_pipeline.environment import describe_environment
from bigearth_pipeline.errors import BadPatch, PipelineError
from bigearth_pipeline.plan import PatchEntry
from bigearth_pipeline.select import unique_folders
from bigearth_pipeline.shard_task import patch_json
from bigearth_pipeline.sources import find_source
from bigearth_pipeline.tiff import TiffReader
from shards.bands import GROUPS, RECORD_VALUES
from shards.classes import label_bytes
from shards.codec import get_codec
from shards.statistics import Histograms
from shards.tar import TarShardWriter

_STAGE_PATCHES: Final = 1024  # for each process
_PEER_PATCHES: Final = 512


@dataclass(frozen=True, slots=True)
class Rate:
    """Patches per second of repeated measurements."""

    median: float
    lowest: float
    highest: float
    repeats: int

    @classmethod
    def of(cls, rates: Sequence[float]) -> "Rate":
        """Summarise measurements."""
        return cls(median(rates), min(rates), max(rates), len(rates))


@dataclass(frozen=True, slots=True)
class BuildBench:
    """The outcome.

    Attributes:
        environment: date, machine, versions, source and where it lies.
        patches: patches of each build.
        workers: processes of each build.
        stages: rate of each stage of the build alone, in all processes at the same time.
        gdal: rate of reading the same files with rasterio, likewise.
        sum_of_stages: rate if the processes did nothing but these stages, one after the other.
        build: rate of the whole command, from its start to the manifest.
        build_shards: rate from the first shard task to the last, without start and end.
        help_seconds: what `bep build-shards --help` takes.
        first_patch_seconds: from the start of the command to the first report of patches done.
        peer: rate of the plain converter, without the start of its processes; None if it did not run.
        share_of_stages: median of `build` ÷ `sum_of_stages`.
        times_peer: median over the repeats of `build` ÷ `peer`.
    """

    environment: dict[str, Any]
    patches: int
    workers: int
    stages: dict[str, Rate]
    gdal: Rate
    sum_of_stages: float
    build: Rate
    build_shards: Rate
    help_seconds: float
    first_patch_seconds: float
    peer: Rate | None
    share_of_stages: float
    times_peer: float | None

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


def bench_build(
    config: BuildConfig,
    *,
    work: Path | None,
    workers: int,
    repeats: int,
    with_peer: bool,
    watcher: Watcher,
) -> BuildBench:
    """Measure the build of one source.

    Args:
        config: what to build; `out` is not used.
        work: where stores are written and deleted; None for the system's folder for temporary files.
        workers: processes of the build and of the plain converter.
        repeats: measurements of each.
        with_peer: measure the plain converter too.
        watcher: is told how it goes.

    Raises:
        PipelineError: the source cannot be built.
    """
    found = [patch for path in config.sources for patch in find_source(path).folders()]
    folders, _ = unique_folders(found)
    if not folders:
        raise PipelineError(f"{config.sources[0]} holds no patches")
    items = list(folders.items())
    with _scratch(work) as scratch:
        watcher.say("stages")
        stages = _measure_stages(items, config.codec, scratch, workers, repeats)
        gdal = stages.pop("gdal")
        builds: list[BuildSummary] = []
        first: list[float] = []
        import_seconds = _seconds_of("import bigearth_pipeline.build", repeats)
        help_seconds = _seconds_of("from bigearth_pipeline.cli import main; main(['build-shards', '--help'])", repeats)
        peers: list[float] = []
        for repeat in range(repeats):
            watcher.say(f"repeat {repeat + 1} of {repeats}")
            if with_peer:
                peers.append(_measure_peer(items[:_PEER_PATCHES], scratch / "peer", workers))
            out = scratch / "store"
            quiet = _Quiet()
            builds.append(build(replace(config, out=out), workers=workers, scheduler=None, watcher=quiet))
            first.append(import_seconds + quiet.first_patch_seconds)
            shutil.rmtree(out)
    sum_of_stages = 1 / sum(1 / rate.median for rate in stages.values())
    whole = [summary.built / summary.seconds for summary in builds]
    return BuildBench(
        environment=describe_environment({"source": config.sources[0], "store": work or Path(tempfile.gettempdir())})
        | {"format": config.format, "codec": config.codec, "patches_per_shard": config.patches_per_shard},
        patches=builds[0].built,
        workers=workers,
        stages=stages,
        gdal=gdal,
        sum_of_stages=sum_of_stages,
        build=Rate.of(whole),
        build_shards=Rate.of([summary.built / summary.build_seconds for summary in builds]),
        help_seconds=help_seconds,
        first_patch_seconds=median(first),
        peer=Rate.of(peers) if peers else None,
        share_of_stages=median(whole) / sum_of_stages,
        times_peer=median(a / b for a, b in zip(whole, peers, strict=True)) if peers else None,
    )


class _Quiet:
    """A watcher that only notes when the first patches are done."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self.first_patch_seconds = float("inf")

    def say(self, text: str) -> None:
        pass

    def start(self, total: int, done: int) -> None:
        pass

    def advance(self, count: int) -> None:
        self.first_patch_seconds = min(self.first_patch_seconds, time.perf_counter() - self._started)


def _seconds_of(code: str, repeats: int) -> float:
    """Return the median time of a fresh interpreter that runs some code."""
    seconds = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - started)
    return median(seconds[1:])


@contextmanager
def _scratch(work: Path | None) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="bep-bench-", dir=work))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measure_stages(
    items: Sequence[tuple[str, str]], codec: str, scratch: Path, workers: int, repeats: int
) -> dict[str, Rate]:
    """Time each stage in all processes at the same time, each with patches of its own."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(workers)
    results = context.SimpleQueue()
    processes = []
    for number in range(workers):
        part = items[number::workers][:_STAGE_PATCHES]
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
        barrier.abort()
        results.put(str(err))
    except threading.BrokenBarrierError:
        results.put("another process of the benchmark failed")


def _stages(items: Sequence[tuple[str, str]], codec_name: str, path: Path) -> dict[str, Callable[[], object]]:
    codec = get_codec(codec_name)
    records = np.empty((len(items), RECORD_VALUES), np.uint16)
    with TiffReader() as reader:
        places = [reader.read_patch(folder, key, records[i]) for i, (key, folder) in enumerate(items)]
    encoded = [codec.encode(record) for record in records]
    entries = [PatchEntry(key, folder, "train", 1, None, "2017-01-01", False, False) for key, folder in items]

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
            for entry, place, record in zip(entries, places, encoded, strict=True):
                tar.add(entry.key, record, label_bytes(entry.label_mask), patch_json(entry, place))

    return {
        "read": lambda: read(False),
        "histograms": count,
        "encode": lambda: [codec.encode(record) for record in records],
        "crc32c": lambda: [crc32c(record) for record in encoded],
        "write + sha256": write,
        "gdal": lambda: read(True),
    }


def _measure_peer(items: Sequence[tuple[str, str]], folder: Path, workers: int) -> float:
    """Return the rate of the plain converter in patches per second."""
    folder.mkdir()
    parts = [items[i::workers] for i in range(workers)]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        pool.starmap(_convert_plainly, [(part[:2], folder / f"warm{i}") for i, part in enumerate(parts)], chunksize=1)
        started = time.perf_counter()
        pool.starmap(_convert_plainly, [(part, folder / f"part{i}") for i, part in enumerate(parts)], chunksize=1)
        seconds = time.perf_counter() - started
    shutil.rmtree(folder)
    return len(items) / seconds


def _convert_plainly(items: Sequence[tuple[str, str]], prefix: Path) -> None:
    import rasterio
    import webdataset

    with (
        rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"),
        webdataset.ShardWriter(f"{prefix}-%05d.tar", maxcount=2048, verbose=0) as writer,
    ):
        for key, folder in items:
            sample: dict[str, Any] = {"__key__": key, "json": {"key": key, "labels": []}}
            for group in GROUPS:
                bands = []
                for band in group.bands:
                    with rasterio.open(f"{folder}/{key}_{band}.tif") as source:
                        bands.append(source.read(1))
                content = io.BytesIO()
                np.save(content, np.stack(bands))
                sample[f"{group.name}.npy"] = content.getvalue()
            writer.write(sample)
