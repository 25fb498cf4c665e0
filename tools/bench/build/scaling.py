"""Builds by one and by more workers of a Dask scheduler, in turns; and what that says of larger clusters, on paper.

    python -m tools.bench.build.scaling TREE --work /dev/shm/bench --repeats 5 --out scaling.json
    python -m tools.bench.build.scaling --table

TREE is one of `bep synth`, with many times as many patches as `--patches-per-shard`, so that workers end together. For
each number of workers there is a scheduler with that many processes of one thread; each repeat builds once with each,
after one build that does not count.
Rates are without start and end. The CPU seconds of workers, driver and scheduler tell apart work that others on the
machine slow down from work that grows with the number of workers.

`--table` prints what larger clusters would reach if each worker kept the rate that a worker has in
`tools/records/build-webdataset.json`, with the bytes of `tools/records/full-size.json`.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from bigearth_pipeline.bench.environment import describe_environment
from bigearth_pipeline.build.config import BuildConfig
from bigearth_pipeline.build.run import build
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.progress import Silent
from shards.storage.safe_open import read_regular
from tools.arguments import count, run

TABLE: Final = (1, 2, 4, 8, 16, 32, 64)
PATCHES: Final = 480_038
"""Of BigEarthNet v2 without flagged ones."""
_RECORDS: Final = Path(__file__).parents[2] / "records"
_ROOT: Final = Path(__file__).parents[3]
_START_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Cluster:
    """A scheduler and workers of one thread.

    Attributes:
        address: of the scheduler.
        scheduler: its process.
        workers: theirs.
    """

    address: str
    scheduler: psutil.Process
    workers: list[psutil.Process]


@dataclass(frozen=True, slots=True)
class Build:
    """A build that has been measured.

    Attributes:
        rate: patches/s without start and end.
        workers: CPU seconds of all workers.
        driver: CPU seconds of the process that ran the build, start and end included.
        scheduler: CPU seconds of the scheduler.
    """

    rate: float
    workers: float
    driver: float
    scheduler: float


@contextmanager
def cluster(number: int, folder: Path) -> Iterator[Cluster]:
    """Run a scheduler with a number of workers on this machine.

    Args:
        number: of workers.
        folder: for the file with the scheduler's address.

    Raises:
        PipelineError: it does not start in a minute.
    """
    file = folder / f"scheduler-{number}.json"
    here = ("--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", file)
    with ExitStack() as stack:
        scheduler = stack.enter_context(_process("dask_scheduler", *here, "--port", 0))
        deadline = time.monotonic() + _START_SECONDS
        while not file.exists():
            if time.monotonic() > deadline or not scheduler.is_running():
                raise PipelineError(f"the Dask scheduler has not started in {_START_SECONDS} s")
            time.sleep(0.1)
        options = (*here, "--no-nanny", "--nthreads", 1, "--memory-limit", 0)
        workers = [stack.enter_context(_process("dask_worker", *options)) for _ in range(number)]
        address: str = json.loads(file.read_text())["address"]
        _wait_for(address, number)
        yield Cluster(address, scheduler, workers)


@contextmanager
def _process(module: str, *options: object) -> Iterator[psutil.Process]:
    with subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.{module}", *map(str, options)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=_ROOT,
    ) as process:  # fmt: skip
        try:
            yield psutil.Process(process.pid)
        finally:
            process.kill()


def _wait_for(address: str, number: int) -> None:
    from distributed import Client

    try:
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(number, timeout=_START_SECONDS)
    except TimeoutError as err:
        raise PipelineError(f"{number} Dask workers have not started in {_START_SECONDS} s") from err


def build_once(tree: Path, out: Path, on: Cluster, patches_per_shard: int) -> Build:
    """Build a store and return the figures."""
    processes = [psutil.Process(), on.scheduler, *on.workers]
    before = [_cpu_seconds(process) for process in processes]
    config = BuildConfig(sources=(tree,), out=out, patches_per_shard=patches_per_shard)
    summary = build(config, scheduler=on.address, progress=Silent())
    driver, scheduler, *workers = (
        _cpu_seconds(process) - seconds for process, seconds in zip(processes, before, strict=True)
    )
    return Build(summary.built / summary.build_seconds, sum(workers), driver, scheduler)


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def summary(builds: dict[int, list[Build]]) -> dict[str, Any]:
    """Return medians by number of workers, and those of the speed-up over the first number within a repeat."""
    first = builds[min(builds)]
    figures = {}
    for number, measured in builds.items():
        rates = [each.rate for each in measured]
        figures[str(number)] = {
            "patches_per_second": {"median": statistics.median(rates), "lowest": min(rates), "highest": max(rates)},
            "speed_up": statistics.median(each.rate / one.rate for each, one in zip(measured, first, strict=True)),
            "cpu_seconds": {
                name: statistics.median(getattr(each, name) for each in measured)
                for name in ("workers", "driver", "scheduler")
            },
        }
    return figures


def measure(chosen: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Return all figures as JSON values."""
    builds: dict[int, list[Build]] = {number: [] for number in chosen.workers}
    with ExitStack() as stack:
        clusters = {number: stack.enter_context(cluster(number, work)) for number in chosen.workers}
        # In the first builds workers import what they need.
        for repeat in range(chosen.repeats + 1):
            for number, on in clusters.items():
                with tempfile.TemporaryDirectory(dir=work) as folder:
                    one = build_once(chosen.tree, Path(folder, "store"), on, chosen.patches_per_shard)
                if repeat:
                    builds[number].append(one)
                    print(f"{number} workers: {one.rate:,.0f} patches/s", file=sys.stderr)
    about = {"repeats": chosen.repeats, "patches_per_shard": chosen.patches_per_shard}
    return {
        "environment": describe_environment({"source": chosen.tree, "store": work}),
        **about,
        "workers": summary(builds),
    }


def table() -> list[str]:
    """Return the lines of a table in Markdown with what clusters of 1 to 64 workers would reach, on paper.

    It takes the rate of one worker as half of that of two, from the record of the build, and the bytes of a patch from
    that at full size.
    """
    names = ("build-webdataset", "full-size")
    measured, full = (json.loads(read_regular(_RECORDS / f"{name}.json", 1 << 20)) for name in names)
    rate = measured["build"]["median"] / measured["workers"]
    per_shard = measured["environment"]["patches_per_shard"]
    shards = -(-PATCHES // per_shard)
    read, written = (full["build"][f"{name}_bytes"] / full["build"]["patches"] for name in ("source", "store"))
    lines = ["| workers | patches/s | read, GB/s | written, GB/s | v2 in |", "|---:|---:|---:|---:|---:|"]
    for number in TABLE:
        # The workers that get one shard more than others end last.
        seconds = -(-shards // number) * per_shard / rate
        rates = f"{number * rate:,.0f} | {number * rate * read / 1e9:.2f} | {number * rate * written / 1e9:.2f}"
        lines.append(f"| {number} | {rates} | {seconds:,.0f} s |")
    return lines


def _numbers(text: str) -> list[int]:
    return sorted({count(each) for each in text.split(",")})


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", type=Path, nargs="?", help="synthetic tree, best in memory")
    parser.add_argument("--work", type=Path, help="folder for stores, on any file system")
    parser.add_argument("--workers", type=_numbers, default=[1, 2], help="numbers of workers, such as 1,2")
    parser.add_argument("--patches-per-shard", type=count, default=256, help="patches of a shard (default: 256)")
    parser.add_argument("--repeats", type=count, default=5, help="builds with each number of workers")
    parser.add_argument("--out", type=Path, help="file for the figures, as JSON")
    parser.add_argument("--table", action="store_true", help="print what larger clusters would reach, and end")
    chosen = parser.parse_args(arguments)
    if chosen.table:
        print("\n".join(table()))
        return 0
    if chosen.tree is None or chosen.work is None:
        parser.error("TREE and --work are needed, or --table")
    chosen.tree = chosen.tree.resolve()
    chosen.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=chosen.work.resolve()) as work:
        text = json.dumps(measure(chosen, Path(work)), indent=1, ensure_ascii=False)
    print(text)
    if chosen.out:
        chosen.out.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    run(main)
