"""A build from an archive beside its parts: the decompressor alone, and the build from the unpacked tree, in turns.

    python -m tools.bench.build.archive TREE --work /dev/shm/bench --repeats 3 --out archive.json

TREE is one of `bep synth --patches 4000`; it is packed with `tar` and `zstd -6`, with all its sub-folders in order of
names. Each repeat runs `zstd -dc ARCHIVE | cat >/dev/null`, `bep build-shards TREE`, `bep build-shards ARCHIVE`, and
the same once more after it was killed in the middle of the pass. Peak memory is that of any one process of the build.

On a machine of few cores decompressor and encoders take each other's, so each repeat also gives each one of its own:
the build from the tree on one core, and that from the archive with one worker process on two. `share_of_slower` is the
rate from the archive by the lower of those of decompressor and tree.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bigearth_pipeline.bench.environment import describe_environment
from tools.arguments import count, run
from tools.bench.watched import Watched, watch

_BEP = [sys.executable, "-m", "bigearth_pipeline"]


def _resumed(archive: Path, table: Path, out: Path, workers: int, kill_after: float) -> float:
    """Return the seconds of a build after one that was killed in the middle."""
    command = [*_BEP, "build-shards", str(archive), "--metadata", str(table), "--out", str(out)]
    command += ["--workers", str(workers)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    time.sleep(kill_after)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return watch(command).seconds


def _build(source: Path, table: Path, out: Path, workers: int, cores: int) -> Watched:
    """Return a build on some of the cores."""
    chosen = sorted(os.sched_getaffinity(0))[:cores]
    options = ["--metadata", str(table), "--out", str(out), "--workers", str(workers)]
    command = [*_BEP, "build-shards", str(source), *options]
    return watch(command, preexec_fn=lambda: os.sched_setaffinity(0, chosen))


def _figures(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", type=Path, help="synthetic tree in the layout of v2")
    parser.add_argument("--work", type=Path, required=True, help="folder for archive and stores")
    parser.add_argument("--repeats", type=count, default=3, help="how often each is run")
    parser.add_argument("--workers", type=count, default=len(os.sched_getaffinity(0)), help="worker processes")
    parser.add_argument("--out", type=Path, help="file for the figures, as JSON")
    chosen = parser.parse_args(arguments)
    chosen.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=chosen.work) as work:
        text = json.dumps(_measure(chosen, Path(work)), indent=1)
    print(text)
    if chosen.out:
        chosen.out.write_text(text + "\n")
    return 0


def _measure(chosen: argparse.Namespace, work: Path) -> dict[str, Any]:
    archive, table = work / "tree.tar.zst", next(chosen.tree.rglob("metadata.parquet"))
    folder = chosen.tree / "BigEarthNet-S2"
    patches = sum(1 for product in folder.iterdir() if product.is_dir() for _ in product.iterdir())
    pack = f"tar --sort=name --format=gnu -C '{chosen.tree}' -cf - BigEarthNet-S2 | zstd -q -6 -o '{archive}'"
    subprocess.run(pack, shell=True, check=True)
    builds = {
        "tree": (folder, chosen.workers, os.cpu_count() or 1),
        "archive": (archive, chosen.workers, os.cpu_count() or 1),
        "tree on one core": (folder, 1, 1),
        "archive on two cores": (archive, 1, 2),
    }
    names = ("decompress", *builds, "resumed")
    seconds: dict[str, list[float]] = {name: [] for name in names}
    memory = 0.0
    for _ in range(chosen.repeats):
        seconds["decompress"].append(watch(f"zstd -dc '{archive}' | cat >/dev/null", shell=True).seconds)
        for name, (source, workers, cores) in builds.items():
            build = _build(source, table, work / "out", workers, cores)
            seconds[name].append(build.seconds)
            memory = max(memory, build.peak_mb) if name == "archive" else memory
            shutil.rmtree(work / "out")
        seconds["resumed"].append(_resumed(archive, table, work / "out", chosen.workers, seconds["archive"][-1] / 2))
        shutil.rmtree(work / "out")
    rates = {name: _figures([patches / each for each in seconds[name]]) for name in names}
    medians = {name: figures["median"] for name, figures in rates.items()}
    shares = {
        "all cores": medians["archive"] / min(medians["decompress"], medians["tree"]),
        "a core each": medians["archive on two cores"] / min(medians["decompress"], medians["tree on one core"]),
    }
    return {
        "environment": describe_environment({"work": work}),
        "patches": patches,
        "workers": chosen.workers,
        "archive_bytes": archive.stat().st_size,
        "patches_per_second": rates,
        "share_of_slower": shares,
        "largest_process_mb": memory,
    }


if __name__ == "__main__":
    run(main)
