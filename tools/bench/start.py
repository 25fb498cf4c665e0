"""Time to the first batch, and host memory of index and order, for an index as long as BigEarthNet's.

    python tools/bench/start.py STORE --patches 590326 --work /dev/shm

The rows of STORE's index are repeated, under other keys, until there are enough: the records lie in the same files,
which are linked, so that only the index is as large as the real one.
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

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
    batch_size=256, device=torch.device("cpu"), kind=sys.argv[2], layout="record", augmentation=RECIPES["none"]
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


def enlarge(store: Path, patches: int, out: Path) -> None:
    """Make a store with more rows: links to the files of another one, and an index that repeats its rows.

    Args:
        store: the store.
        patches: rows of the new one.
        out: an empty folder on the same file system.
    """
    manifest = json.loads((store / "manifest.json").read_text())
    table = pq.read_table(store / "index.parquet")
    times = -(-patches // len(table))
    number = np.repeat(np.arange(times), len(table))[:patches]
    table = pa.concat_tables([table] * times).slice(0, patches).unify_dictionaries().combine_chunks()
    keys = [f"{key}_{n}" for key, n in zip(table["key"].to_pylist(), number.tolist(), strict=True)]
    table = table.set_column(table.column_names.index("key"), "key", pa.array(keys))
    # Rows of a split lie together, and so do those of a shard, as in any store.
    codes = [table[name].combine_chunks().indices.to_numpy() for name in ("shard", "split")]
    table = table.take(pa.array(np.lexsort(codes)))
    for path in store.iterdir():
        if path.name not in ("manifest.json", "index.parquet"):
            os.link(path, out / path.name)
    pq.write_table(table, out / "index.parquet")
    manifest["count"] = patches
    counts = table["split"].value_counts().to_pylist()
    for split in counts:
        manifest["splits"][split["values"]]["count"] = split["counts"]
    for info in manifest["files"]:
        if info["path"] == "index.parquet":
            content = (out / "index.parquet").read_bytes()
            info |= {"size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (out / "manifest.json").write_text(json.dumps(manifest))


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
    parser.add_argument("--patches", type=int, default=590_326)
    parser.add_argument("--work", type=Path, help="folder on the file system of STORE; default: beside it")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.work or options.store.parent, prefix="bep-start-") as folder:
        enlarge(options.store, options.patches, Path(folder))
        for kind in ("global", "block"):
            print(json.dumps({"order": kind, **measure(Path(folder), kind, options.repeats)}), flush=True)


if __name__ == "__main__":
    main()
