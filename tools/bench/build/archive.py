"""A build from an archive beside its parts: the decompressor alone, and the build from the unpacked tree, in turns.

    python -m tools.bench.build.archive TREE --work /dev/shm/bench --repeats 3 --out archive.json

TREE is one of `bep synth --patches 4000`; it is packed with `tar` and `zstd -6`, with all its sub-folders in order of
names. Each repeat runs `zstd -dc ARCHIVE | cat >/dev/null`, `bep build-shards TREE`, `bep build-shards ARCHIVE`, and
the same once more after it was killed in the middle of the pass. Peak memory is that of any one process of the build.

On a machine of few cores decompressor and encoders take each other's. So each repeat also runs both side by side: the
build from the tree while `zstd -dc ARCHIVE | cat >/dev/null` runs again and again; and it gives each one a core of its
own: the build from the tree on one core, and that from the archive with one worker process on two. `share_of_slower` is
the rate from the archive by the lower of those of decompressor and tree.

Start and end of a command take as long for any number of patches. `sustained` is the rate without them, as a build of
the whole of BigEarthNet has it: the same is run for every third patch of TREE, and what the others add is counted.
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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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


@contextmanager
def _decompressing(archive: Path) -> Iterator[None]:
    """Decompress an archive again and again while the block runs."""
    command = f"while :; do zstd -dc '{archive}' | cat >/dev/null; done"
    process = subprocess.Popen(command, shell=True, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _figures(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", type=Path, help="synthetic tree in the layout of v2")
    parser.add_argument(
        "--work", type=Path, required=True, help="folder on TREE's file system, for archives and stores"
    )
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


@dataclass(frozen=True)
class _Input:
    """A tree and the archive of it; patches of the tree."""

    tree: Path
    archive: Path
    patches: int


def _packed(tree: Path, archive: Path) -> _Input:
    """Pack a tree."""
    pack = f"tar --sort=name --format=gnu -C '{tree.parent}' -cf - '{tree.name}' | zstd -q -6 -o '{archive}'"
    subprocess.run(pack, shell=True, check=True)
    return _Input(tree, archive, len(_patches(tree)))


def _patches(tree: Path) -> list[Path]:
    return sorted(patch for product in tree.iterdir() if product.is_dir() for patch in product.iterdir())


def _some_patches(tree: Path, part: Path) -> Path:
    """Return a tree of every third patch of another, by hard links."""
    for patch in _patches(tree)[::3]:
        shutil.copytree(patch, part / patch.parent.name / patch.name, copy_function=os.link)
    return part


def _measure(chosen: argparse.Namespace, work: Path) -> dict[str, Any]:
    table, tree = next(chosen.tree.rglob("metadata.parquet")), chosen.tree / "BigEarthNet-S2"
    whole = _packed(tree, work / "tree.tar.zst")
    some = _packed(_some_patches(tree, work / "part" / tree.name), work / "part.tar.zst")
    more = whole.patches - some.patches
    cores = os.cpu_count() or 1
    names = ("decompress", "tree", "archive", "tree beside it", "tree on one core", "archive on two cores", "resumed")
    seconds: dict[_Input, dict[str, list[float]]] = {each: {name: [] for name in names} for each in (whole, some)}
    memory = 0.0
    for _ in range(chosen.repeats):
        for each, found in seconds.items():
            found["decompress"].append(watch(f"zstd -dc '{each.archive}' | cat >/dev/null", shell=True).seconds)
            for name, source, workers, on in (
                ("tree", each.tree, chosen.workers, cores),
                ("archive", each.archive, chosen.workers, cores),
                ("tree on one core", each.tree, 1, 1),
                ("archive on two cores", each.archive, 1, 2),
            ):
                build = _build(source, table, work / "out", workers, on)
                found[name].append(build.seconds)
                memory = max(memory, build.peak_mb) if name == "archive" else memory
                shutil.rmtree(work / "out")
            with _decompressing(each.archive):
                build = _build(each.tree, table, work / "out", chosen.workers, cores)
            found["tree beside it"].append(build.seconds)
            shutil.rmtree(work / "out")
        kill_after = seconds[whole]["archive"][-1] / 2
        resumed = _resumed(whole.archive, table, work / "out", chosen.workers, kill_after)
        seconds[whole]["resumed"].append(resumed)
        shutil.rmtree(work / "out")
    rates = {name: _figures([whole.patches / each for each in seconds[whole][name]]) for name in names}
    middle = {each: {name: statistics.median(found[name]) for name in names[:-1]} for each, found in seconds.items()}
    sustained = {name: more / (middle[whole][name] - middle[some][name]) for name in names[:-1]}
    return {
        "environment": describe_environment({"work": work}),
        "patches": whole.patches,
        "patches_of_part": some.patches,
        "workers": chosen.workers,
        "archive_bytes": whole.archive.stat().st_size,
        "patches_per_second": rates,
        "share_of_slower": _shares({name: rate["median"] for name, rate in rates.items()}),
        "sustained_patches_per_second": sustained,
        "sustained_share_of_slower": _shares(sustained),
        "largest_process_mb": memory,
    }


def _shares(rates: dict[str, float]) -> dict[str, float]:
    return {
        "all cores": rates["archive"] / min(rates["decompress"], rates["tree"]),
        "side by side": rates["archive"] / min(rates["decompress"], rates["tree beside it"]),
        "a core each": rates["archive on two cores"] / min(rates["decompress"], rates["tree on one core"]),
    }


if __name__ == "__main__":
    run(main)
