"""Time to the first batch, and host memory of index and order, for an index as long as BigEarthNet's.

    python -m tools.bench.loader.start STORE --patches 590326 --work /dev/shm

The rows of STORE's index, a WebDataset store, are repeated as `tools.bench.enlarged` does it.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tools.arguments import count, run
from tools.bench.enlarged import enlarge

_MEASURE = """
import json, resource, sys, time
begin = time.perf_counter()
import torch
import shards
from trainer import RECIPES, Loader, LoaderConfig, Normalisation

def megabytes():
    with open("/proc/self/status") as file:
        return int(next(line for line in file if line.startswith("RssAnon")).split()[1]) / 1e3

torch.set_num_threads(1)
imported, before = time.perf_counter(), megabytes()
store = shards.open(sys.argv[1], num_threads=2)
opened = time.perf_counter()
rows = store.index.rows("train")
config = LoaderConfig(
    batch_size=256, device=torch.device("cpu"), order=sys.argv[2], layout="record", augmentation=RECIPES["none"]
)
with Loader(store, rows, Normalisation.of_train_split(store.manifest), config) as loader:
    order = loader.order.epoch(0)
    ordered, memory = time.perf_counter(), megabytes()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    batches = iter(loader)
    next(batches)
    first = time.perf_counter()
    batches.close()
print(json.dumps({
    "import_seconds": imported - begin, "open_seconds": opened - imported, "order_seconds": ordered - opened,
    "first_batch_seconds": first - imported, "index_and_order_mb": memory - before, "rows": len(store),
    "train_rows": len(rows), "peak_mb": peak,
}))
"""


def measure(store: Path, kind: str, repeats: int) -> dict[str, float]:
    """Return medians over fresh processes."""
    command = [sys.executable, "-c", _MEASURE, str(store), kind]
    runs = [
        json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout) for _ in range(repeats)
    ]
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line for each order as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--patches", type=count, default=590_326)
    parser.add_argument("--work", type=Path, help="folder on the file system of STORE; default: beside it")
    parser.add_argument("--repeats", type=count, default=5)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.work or options.store.parent, prefix="bep-start-") as folder:
        enlarge(options.store, options.patches, Path(folder))
        for kind in ("global", "block"):
            print(json.dumps({"order": kind, **measure(Path(folder), kind, options.repeats)}), flush=True)


if __name__ == "__main__":
    run(main)
