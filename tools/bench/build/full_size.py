"""A build among as many patches as BigEarthNet v2 has: listing, building, verifying and an epoch of reading.

    mount -t tmpfs -o size=1g,nr_inodes=0 tmpfs /mnt/tree
    python -m tools.bench.build.full_size metadata.parquet metadata_for_patches_with_snow_cloud_or_shadow.parquet \
        --tree /mnt/tree --work /var/tmp/bench --patches 100000 --out full-size.json

The folders get the names of the official tables. Their files are links to those of synthetic patches, so that a tree of
549,488 patches takes 3 GB of the kernel's memory in a tmpfs, and pixels of a few patches only. All of it is listed and
planned; a sample of `--patches` is built into the folder `--work`, verified, and its train split is read for an epoch.
Memory is what a process has for itself; descriptors are those of all processes.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from bigearth_pipeline.bench.environment import describe_environment
from shards.layout.bands import BANDS
from tools.arguments import count, run
from tools.bench.watched import watch

_BEP: Final = [sys.executable, "-m", "bigearth_pipeline"]
_DISTINCT: Final = 256
"""Patches whose files are linked to."""
_FILES: Final = 1 + len(BANDS)
"""Inodes that a patch takes in a tmpfs, which counts links too."""
_EPOCH: Final = """
import json, sys, time
import torch
import shards
from trainer import RECIPES, Loader, LoaderConfig, Normalisation

torch.set_num_threads(1)
store = shards.open(sys.argv[1], num_threads=int(sys.argv[2]))
rows = store.index.rows("train")
config = LoaderConfig(batch_size=512, device=torch.device("cpu"), layout="record", augmentation=RECIPES["none"])
with Loader(store, rows, Normalisation.of_train_split(store.manifest), config) as loader:
    begin = time.perf_counter()
    seen = torch.cat([batch["row"][batch["mask"]] for batch in loader])
    seconds = time.perf_counter() - begin
if sorted(seen.tolist()) != sorted(rows.tolist()):
    sys.exit(f"an epoch had {len(seen):,} patches, expected each of {len(rows):,} once")
print(json.dumps({"patches": len(seen), "epoch_seconds": seconds}))
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", type=Path, nargs="+", metavar="TABLE", help="official tables of v2")
    parser.add_argument("--tree", type=Path, required=True, help="empty folder of a file system for millions of files")
    parser.add_argument("--work", type=Path, required=True, help="folder for the store")
    parser.add_argument("--patches", type=count, default=100_000, help="patches to build")
    parser.add_argument("--workers", type=count, default=len(os.sched_getaffinity(0)), help="worker processes")
    parser.add_argument("--out", type=Path, help="file for the figures, as JSON")
    chosen = parser.parse_args(arguments)
    names = [name for table in chosen.tables for name in pq.read_table(table, columns=["patch_id"])[0].to_pylist()]
    if not chosen.tree.is_dir() or any(chosen.tree.iterdir()):
        parser.error(f"{chosen.tree} is no empty folder")
    free = os.statvfs(chosen.tree)
    if free.f_files and free.f_ffree < len(names) * _FILES:
        parser.error(f"{chosen.tree} has {free.f_ffree:,} inodes left, {len(names) * _FILES:,} are needed: see --help")
    chosen.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=chosen.work) as work:
        text = json.dumps(_measure(chosen, names, Path(work)), indent=1)
    print(text)
    if chosen.out:
        chosen.out.write_text(text + "\n")
    return 0


def _measure(chosen: argparse.Namespace, names: list[str], work: Path) -> dict[str, Any]:
    begin = time.perf_counter()
    _say(f"linking {len(names):,} patches into {chosen.tree}")
    root = link_tree(chosen.tree, names)
    figures: dict[str, Any] = {
        "environment": describe_environment({"tree": chosen.tree, "work": work}),
        "workers": chosen.workers,
        "tree": {"patches": len(names), "seconds": time.perf_counter() - begin},
    }
    store, workers = work / "store", ["--workers", str(chosen.workers)]
    tables = [argument for table in chosen.tables for argument in ("--metadata", str(table))]
    _say(f"building {chosen.patches:,} of them")
    sample = ["--include-snow-cloud", "--limit", str(chosen.patches)]
    build = watch([*_BEP, "build-shards", str(root), *tables, *sample, "--out", str(store), *workers, "--json"])
    summary = json.loads(build.output)
    figures["build"] = build.figures() | {
        name: summary[name] for name in ("patches", "shards", "source_bytes", "store_bytes", "patches_per_second")
    }
    _say("verifying")
    figures["verify"] = watch([*_BEP, "verify", str(store), *workers]).figures()
    _say("reading the train split for an epoch")
    epoch = watch([sys.executable, "-c", _EPOCH, str(store), str(chosen.workers)])
    read = json.loads(epoch.output)
    figures["epoch"] = epoch.figures() | read | {"patches_per_second": read["patches"] / read["epoch_seconds"]}
    return figures


def link_tree(folder: Path, names: Sequence[str], distinct: int = _DISTINCT) -> Path:
    """Make a tree in the layout of v2 whose files are links; return its folder.

    Args:
        folder: for the tree, and for the patches that are linked to.
        names: of the patches.
        distinct: number of patches whose files are linked to, each by as many patches as any other.
    """
    linked = folder / "linked"
    command = [*_BEP, "synth", "--out", str(linked), "--patches", str(distinct), "--quiet"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    sources = [
        {band: f"{path}/{path.name}_{band}.tif" for band in BANDS}
        for path in sorted((linked / "BigEarthNet-S2").glob("*/*"))
        if path.is_dir()
    ]
    root = folder / "BigEarthNet-S2"
    root.mkdir()
    products = defaultdict(list)
    for name in names:
        products[name.rsplit("_", 2)[0]].append(name)
    source = itertools.cycle(sources)
    for product, patches in products.items():
        os.mkdir(f"{root}/{product}")
        for name in patches:
            os.mkdir(f"{root}/{product}/{name}")
            for band, path in next(source).items():
                os.link(path, f"{root}/{product}/{name}/{name}_{band}.tif")
    return root


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    run(main)
