"""Builds from a cold disk and from a distant one beside plain readers of the same files, in turns.

    python -m tools.bench.build.cold TREE --work /var/tmp/bench --repeats 3 --out cold.json

TREE is one of `bep synth --patches 10000` on a disk. Each repeat reads its files, or a random part (`--patches`), with
an empty page cache: plain readers of 1 to 64 threads in each of as many processes as the build has, and the builds;
then builds with a warm page cache; then builds, and a plain reader of one thread, with 2 ms added to each open. Rates
of builds are without start and end. `--other DIR` also measures the build of another checkout, such as an older one.
With `--reads N` (root), readers and builds from an empty page cache are measured on a disk of N reads a second as well:
where processors are few, it shows whether the disk is the limit when it is slower than they are.

Files are dropped from the page cache by `posix_fadvise(DONTNEED)`; folders stay in the kernel's caches unless
`--drop-caches` empties them all (root; it slows down all else on the machine for some time).
"""

import argparse
import json
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

from bigearth_pipeline.bench.environment import describe_environment
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.source.tree import find_source
from tools.arguments import count, run
from tools.bench.build.slow_opens import SlowOpens
from tools.bench.build.throttle import throttled

THREADS: Final = (1, 2, 4, 8, 16, 32, 64)
OPEN_SECONDS: Final = 0.002
_CHUNK: Final = 8  # patches that a thread reads in sequence
_BUILD: Final = """
import json, sys
from pathlib import Path
from bigearth_pipeline.build.config import BuildConfig
from bigearth_pipeline.build.run import build
from bigearth_pipeline.build.select import Rules
from bigearth_pipeline.progress import Silent

source, out, workers, limit = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
config = BuildConfig(sources=(source,), out=out, rules=Rules(limit=limit))
summary = build(config, workers=workers, scheduler=None, progress=Silent())
print(json.dumps([summary.built, summary.build_seconds]))
"""
_READ: Final = "import sys; from tools.bench.build.cold import read_here; read_here(*sys.argv[1:])"


def read_here(tree: str, patches: str, processes: str, threads: str) -> None:
    """Print the rate of plain readers: each process reads its share of the patches with that many threads."""
    folders = _folders(Path(tree), int(patches))
    context = multiprocessing.get_context("fork")
    barrier, ends = context.Barrier(int(processes) + 1), context.SimpleQueue()

    def work(part: Sequence[str]) -> None:
        chunks = [part[i : i + _CHUNK] for i in range(0, len(part), _CHUNK)]
        with ThreadPoolExecutor(int(threads)) as pool:
            barrier.wait()
            list(pool.map(_read, chunks))
        ends.put(time.monotonic())

    started = [context.Process(target=work, args=(folders[i :: int(processes)],)) for i in range(int(processes))]
    for process in started:
        process.start()
    barrier.wait()
    begin = time.monotonic()
    seconds = max(ends.get() for _ in started) - begin
    for process in started:
        process.join()
    print(json.dumps([len(folders), seconds]))


def _read(folders: Sequence[str]) -> None:
    buffer = bytearray(1 << 16)
    for folder in folders:
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        for name in os.listdir(directory):
            descriptor = os.open(name, os.O_RDONLY, dir_fd=directory)
            while os.readv(descriptor, [buffer]):
                pass
            os.close(descriptor)
        os.close(directory)


def _folders(tree: Path, patches: int) -> list[str]:
    folders = sorted(folder for _, folder in find_source(tree).scan().patches)
    random.Random(0).shuffle(folders)
    return folders[:patches]


def _drop(tree: Path, everything: bool) -> None:
    """Empty the page cache."""
    os.sync()
    if everything:
        Path("/proc/sys/vm/drop_caches").write_text("3")
        return
    for folder in _folders(tree, sys.maxsize):
        for entry in os.scandir(folder):
            descriptor = os.open(entry.path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def _rate(
    code: str, arguments: Sequence[object], checkout: Path | None, variables: dict[str, str], before: Sequence[str] = ()
) -> float:
    """Return the patches per second that a program prints, whose command begins with that of another."""
    checkout = (checkout or Path(__file__).parents[3]).resolve()
    environment = os.environ | {"PYTHONPATH": str(checkout)} | variables
    command = [*before, sys.executable, "-c", code, *map(str, arguments)]
    # The folder that it runs in comes first where modules are looked for.
    done = subprocess.run(command, env=environment, cwd=checkout, capture_output=True, text=True)
    if done.returncode:
        raise PipelineError(f"a process of the benchmark failed: {done.stderr.strip().splitlines()[-1:]}")
    patches, seconds = json.loads(done.stdout.splitlines()[-1])
    return float(patches / seconds)


def _summary(rates: dict[str, list[float]], shares: dict[str, tuple[str, str]]) -> dict[str, Any]:
    """Return median, lowest and highest of rates, and the median of ratios of rates of the same repeat."""
    figures = {
        name: {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}
        for name, values in rates.items()
    }
    ratios = {
        name: statistics.median(a / b for a, b in zip(rates[own], rates[other], strict=True))
        for name, (own, other) in shares.items()
        if own in rates and other in rates
    }
    return {"patches_per_second": figures, "ratios": ratios}


def measure(chosen: argparse.Namespace, work: Path, before: Sequence[str] = ()) -> dict[str, Any]:
    """Return all figures as JSON values; `before` begins commands that read from a slow disk."""
    numbers = iter(range(1 << 30))
    builds = {"build": None} | ({"build of the other": chosen.other} if chosen.other else {})
    patches = len(_folders(chosen.tree, chosen.patches))

    def build(
        checkout: Path | None, variables: dict[str, str], limit: int = patches, before: Sequence[str] = ()
    ) -> float:
        arguments = chosen.tree, work / str(next(numbers)), chosen.workers, limit
        return _rate(_BUILD, arguments, checkout, variables, before)

    def read(threads: int, variables: dict[str, str], limit: int = patches, before: Sequence[str] = ()) -> float:
        return _rate(_READ, (chosen.tree, limit, chosen.workers, threads), None, variables, before)

    passes: dict[str, Callable[[], float]] = {}
    for threads in THREADS:
        passes[f"cold: read, {threads} threads"] = lambda threads=threads: read(threads, {})
    for name, checkout in builds.items():
        passes[f"cold: {name}"] = lambda checkout=checkout: build(checkout, {})
    if before:
        for threads in THREADS:
            passes[f"cold, slow disk: read, {threads} threads"] = lambda threads=threads: read(
                threads, {}, before=before
            )
        for name, checkout in builds.items():
            passes[f"cold, slow disk: {name}"] = lambda checkout=checkout: build(checkout, {}, before=before)
    for name, checkout in builds.items():
        passes[f"warm: {name}"] = lambda checkout=checkout: build(checkout, {})
    skipped = ""
    try:
        slow = SlowOpens(work).environment(chosen.tree, OPEN_SECONDS)
    except FileNotFoundError as err:
        skipped = str(err)
    else:
        fewer = max(1, patches // 4)
        passes["slow opens: read, 1 thread"] = lambda: read(1, slow, fewer)
        for name, checkout in builds.items():
            passes[f"slow opens: {name}"] = lambda checkout=checkout: build(checkout, slow, fewer)
    rates: dict[str, list[float]] = {name: [] for name in passes}
    for _ in range(chosen.repeats):
        for name, timed in passes.items():
            if name.startswith("cold"):
                _drop(chosen.tree, chosen.drop_caches)
            rates[name].append(timed())
            print(f"{name}: {rates[name][-1]:,.0f} patches/s", file=sys.stderr)
    for disk in ("cold", *(["cold, slow disk"] if before else [])):
        readers = [values for name, values in rates.items() if name.startswith(f"{disk}: read")]
        rates[f"{disk}: best reader"] = [max(values) for values in zip(*readers, strict=True)]
    shares = {
        "cold: build ÷ best reader": ("cold: build", "cold: best reader"),
        "cold, slow disk: build ÷ best reader": ("cold, slow disk: build", "cold, slow disk: best reader"),
        "cold: build ÷ warm build": ("cold: build", "warm: build"),
        "cold: build ÷ other": ("cold: build", "cold: build of the other"),
        "warm: build ÷ other": ("warm: build", "warm: build of the other"),
        "slow opens: build ÷ read, 1 thread": ("slow opens: build", "slow opens: read, 1 thread"),
        "slow opens: build ÷ other": ("slow opens: build", "slow opens: build of the other"),
    }
    about = {
        "patches": patches,
        "workers": chosen.workers,
        "reads": chosen.reads,
        "repeats": chosen.repeats,
        "slow_opens_skipped": skipped,
    }
    how = "all caches" if chosen.drop_caches else "pages of the files"
    environment = describe_environment({"source": chosen.tree, "store": work})
    return {"environment": environment, **about, "dropped": how, **_summary(rates, shares)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", type=Path, help="synthetic tree on a disk")
    parser.add_argument("--work", type=Path, required=True, help="folder for stores, on any file system")
    parser.add_argument("--patches", type=count, default=sys.maxsize, help="patches that are read and built, at most")
    parser.add_argument("--repeats", type=count, default=3, help="measurements of each")
    parser.add_argument("--workers", type=count, default=len(os.sched_getaffinity(0)), help="processes")
    parser.add_argument("--other", type=Path, help="checkout whose build is measured as well")
    parser.add_argument("--reads", type=count, help="reads a second of a slow disk that is measured as well (root)")
    parser.add_argument("--drop-caches", action="store_true", help="empty all caches of the kernel (root)")
    parser.add_argument("--out", type=Path, help="file for the figures, as JSON")
    chosen = parser.parse_args(arguments)
    chosen.tree = chosen.tree.resolve()
    chosen.work.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=chosen.work.resolve()) as work,
        throttled(chosen.tree, chosen.reads) if chosen.reads else nullcontext(()) as before,
    ):
        text = json.dumps(measure(chosen, Path(work), before), indent=1, ensure_ascii=False)
    print(text)
    if chosen.out:
        chosen.out.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    run(main)
