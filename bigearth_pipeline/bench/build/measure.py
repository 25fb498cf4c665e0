"""`bep bench build`: what the stages of a build reach alone and together, and a plain converter beside them.

The plain converter reads each band with rasterio and writes with `webdataset.ShardWriter`, in as many processes, and
makes neither statistics nor checksums. Both run in turn, several times, on the same source.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from bigearth_pipeline.bench.build.plain import measure_plain
from bigearth_pipeline.bench.build.stages import measure_stages
from bigearth_pipeline.bench.environment import describe_environment
from bigearth_pipeline.bench.rate import Rate
from bigearth_pipeline.build.config import BuildConfig
from bigearth_pipeline.build.run import build
from bigearth_pipeline.build.select import unique_folders
from bigearth_pipeline.build.summary import BuildSummary
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.extra import PLAIN_CONVERTER, require
from bigearth_pipeline.progress import Progress, Silent
from bigearth_pipeline.source.tree import find_source
from shards.runtime.scratch import ScratchFolder


@dataclass(frozen=True, slots=True)
class BuildBench:
    """The outcome.

    Attributes:
        environment: date, machine, versions, source and where it lies.
        patches: patches of each build.
        workers: processes of each build.
        stages: rate of each stage of the build alone, in all processes at the same time.
        gdal: rate of reading the same files with rasterio, likewise.
        sum_of_stages: rate if the processes did nothing but these stages, in sequence.
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
        rates = {name: getattr(self, name) for name in ("gdal", "build", "build_shards", "peer")}
        return (
            asdict(self)
            | {name: rate and rate.to_json() for name, rate in rates.items()}
            | {"stages": {name: rate.to_json() for name, rate in self.stages.items()}}
        )


def bench_build(
    config: BuildConfig,
    *,
    work: Path | None,
    workers: int,
    repeats: int,
    with_peer: bool,
    progress: Progress,
) -> BuildBench:
    """Measure the build of one source.

    Args:
        config: what to build; `out` is not used.
        work: where stores are written and deleted; None for the system's folder for temporary files.
        workers: processes of the build and of the plain converter.
        repeats: measurements of each.
        with_peer: measure the plain converter too.
        progress: receives how it goes.

    Raises:
        PipelineError: the source cannot be built, or the library of the plain converter is absent.
    """
    if with_peer:
        try:
            require(PLAIN_CONVERTER, extra=None)
        except PipelineError as err:
            raise PipelineError(f"{err}; or leave the plain converter out: `peer=False`") from None
    found = [patch for path in config.sources for patch in find_source(path).folders()]
    folders, _ = unique_folders(found)
    if not folders:
        raise PipelineError(f"{config.sources[0]} holds no patches")
    items = list(folders.items())
    with ScratchFolder("bench", work) as scratch:
        progress.say("stages")
        stages = measure_stages(items, config.codec, scratch, workers, repeats)
        gdal = stages.pop("gdal")
        builds: list[BuildSummary] = []
        first: list[float] = []
        import_seconds = _seconds_of("import bigearth_pipeline.build.run", repeats)
        help_seconds = _seconds_of("from bigearth_pipeline.cli import main; main(['build-shards', '--help'])", repeats)
        peers: list[float] = []
        for repeat in range(repeats):
            progress.say(f"repeat {repeat + 1} of {repeats}")
            if with_peer:
                peers.append(measure_plain(items, scratch / "peer", workers))
            out = scratch / "store"
            first_patch = _FirstPatch()
            builds.append(build(replace(config, out=out), workers=workers, scheduler=None, progress=first_patch))
            first.append(import_seconds + first_patch.seconds)
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
        build=Rate(tuple(whole)),
        build_shards=Rate(tuple(summary.built / summary.build_seconds for summary in builds)),
        help_seconds=help_seconds,
        first_patch_seconds=median(first),
        peer=Rate(tuple(peers)) if peers else None,
        share_of_stages=median(whole) / sum_of_stages,
        times_peer=median(a / b for a, b in zip(whole, peers, strict=True)) if peers else None,
    )


class _FirstPatch(Silent):
    """Notes when the first patches are done, in seconds since it was made."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self.seconds = float("inf")

    def advance(self, count: int) -> None:
        self.seconds = min(self.seconds, time.perf_counter() - self._started)


def _seconds_of(code: str, repeats: int) -> float:
    """Return the median time of a fresh interpreter that runs some code."""
    seconds = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - started)
    return median(seconds[1:])
