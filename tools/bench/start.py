"""Time to the first batch, and host memory of index and order, for an index as long as BigEarthNet's.

    python -m tools.bench.start STORE --patches 590326 --work /dev/shm

The rows of STORE's index, a WebDataset store, are repeated, under other keys, until there are enough: its shards get as
many names by links, so that only index and manifest are as large as the real ones.
"""

import argparse
import hashlib
import itertools
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

from shards.metadata.seal import sealed
from tools.arguments import count, run

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


def enlarge(store: Path, patches: int, out: Path) -> None:
    """Make a store with more rows: further names of the files of another one, and an index that repeats its rows.

    Args:
        store: a WebDataset store.
        patches: rows of the new one, at least; whole copies are made.
        out: an empty folder on the same file system.
    """
    manifest = json.loads((store / "manifest.json").read_text())
    table = pq.read_table(store / "index.parquet")
    of_row = np.array(table["shard"].to_pylist(), object)
    times = -(-patches // len(table))
    rows, keys, names, shards = [], [], [], []
    # Rows of a split lie together, and so do those of a shard, as in any store.
    for split, info in manifest["splits"].items():
        of_split = [shard for shard in manifest["shards"] if shard["split"] == split]
        for number, (copy, shard) in enumerate(itertools.product(range(times), of_split)):
            name = f"{split}-{number:06d}"
            files = [file | {"path": name + Path(file["path"]).suffix} for file in shard["files"]]
            for old, new in zip(shard["files"], files, strict=True):
                os.link(store / old["path"], out / new["path"])
            shards.append(shard | {"name": name, "files": files})
            rows.append(np.flatnonzero(of_row == shard["name"]))
            names += [name] * shard["count"]
            keys += [f"_{copy}"] * shard["count"]
        info["count"] *= times
        info["class_counts"] = {label: count * times for label, count in info["class_counts"].items()}
        for band in info["statistics"].values():
            band |= {"count": band["count"] * times, "nodata": band["nodata"] * times}
    table = table.take(pa.array(np.concatenate(rows)))
    keys = [key + copy for key, copy in zip(table["key"].to_pylist(), keys, strict=True)]
    for column, values in (("key", pa.array(keys)), ("shard", pa.array(names).dictionary_encode())):
        table = table.set_column(table.column_names.index(column), column, values)
    pq.write_table(table, out / "index.parquet")
    os.link(store / "histograms.parquet", out / "histograms.parquet")
    manifest |= {"count": len(table), "shards": shards}
    for info in manifest["files"]:
        if info["path"] == "index.parquet":
            content = (out / "index.parquet").read_bytes()
            info |= {"size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (out / "manifest.json").write_text(json.dumps(sealed(manifest)))


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
