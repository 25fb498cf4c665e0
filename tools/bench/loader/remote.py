"""Rates of records from an address beside those from the folder itself, and beside plain concurrent requests.

    python -m tools.bench.loader.remote STORE --latency 0.03 --work /tmp --out remote.json

A process serves STORE by HTTP on loopback, each answer late by the latency. Measured are patches/s, wall and processor
time of this process: an epoch in order `block` from the folder, a first and a second one from the address, and the same
ranges by 48 threads that send plain requests and drop the answers, beside those that `Store.fetch` sends.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import torch

import shards
from shards.read.extents import Extents, files_of
from shards.storage.remote.address import Address, place_of
from shards.storage.remote.client import Client
from shards.storage.remote.coalesce import coalesce
from shards.storage.remote.pool import IN_FLIGHT
from tools.arguments import count, positive, run
from trainer import RECIPES, Loader, LoaderConfig, Normalisation


def timed(work: Callable[[], object]) -> dict[str, float]:
    """Return wall and processor seconds of some work."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def epoch(store: shards.Store, order: str) -> Callable[[], None]:
    """Return work that reads the records of all splits' training rows once, as training does."""

    def work() -> None:
        config = LoaderConfig(
            batch_size=256,
            device=torch.device("cpu"),
            order=order,  # type: ignore[arg-type]
            layout="record",
            augmentation=RECIPES["none"],
        )
        normalisation = Normalisation.of_train_split(store.manifest)
        with Loader(store, store.index.rows("train"), normalisation, config) as loader:
            for _ in loader:
                pass

    return work


def raw(address: Address, folder: Path) -> Callable[[], None]:
    """Return work that sends the requests for all training rows and drops the answers."""
    with shards.open(folder) as store:
        ranges = Extents.of(store.manifest, store.index).ranges(store.index.rows("train"))
        files = [file.name for file in files_of(store.manifest)]
    client, spans = Client(address), coalesce(ranges)

    def work() -> None:
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            list(pool.map(lambda span: len(client.get(files[span.file], span.start, span.end).content), spans))

    return work


def measure(folder: Path, address: Address, work: Path, order: str) -> dict[str, Any]:
    """Measure once."""
    found: dict[str, Any] = {}
    with shards.open(folder) as store:  # So that the page cache has the files.
        epoch(store, order)()
    with shards.open(folder) as store:
        found["patches"] = len(store.index.rows("train"))
        found["bytes"] = store.encoded_bytes(store.index.rows("train"))
        found["local"] = timed(epoch(store, order))
        found["local_again"] = timed(epoch(store, order))
    found["raw"] = timed(raw(address, folder))
    with tempfile.TemporaryDirectory(dir=work) as cache:
        with shards.open(address, cache_dir=Path(cache) / "a") as store:
            rows = store.index.rows("train")
            found["fetch"] = timed(lambda: store.fetch(rows))
        shutil.rmtree(Path(cache) / "a")
        with shards.open(address, cache_dir=Path(cache) / "b") as store:
            found["first"] = timed(epoch(store, order))
            found["second"] = timed(epoch(store, order))
        with shards.open(address, cache_dir=Path(cache) / "b") as store:
            found["restarted"] = timed(epoch(store, order))
    return found


def main() -> None:
    """Measure, print and write the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--latency", type=positive, default=0.03, help="seconds before each answer")
    parser.add_argument("--rate", type=float, default=0.0, help="bytes a second of all answers together; 0: no limit")
    parser.add_argument("--repeats", type=count, default=3)
    parser.add_argument("--order", choices=["block", "global"], default="block")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()), help="folder for caches")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    command = [sys.executable, "-m", "tools.bench.loader.ranges", str(arguments.store)]
    command += ["--latency", str(arguments.latency), "--rate", str(arguments.rate)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = place_of(f"http://127.0.0.1:{int(server.stdout.readline())}")
            assert isinstance(address, Address)
            runs = [
                measure(arguments.store, address, arguments.work, arguments.order) for _ in range(arguments.repeats)
            ]
        finally:
            server.kill()
    names = ("local", "local_again", "first", "second", "restarted", "raw", "fetch")
    seconds = {name: {clock: median(each[name][clock] for each in runs) for clock in ("wall", "cpu")} for name in names}
    patches = runs[0]["patches"]
    result = {
        "latency": arguments.latency,
        "rate": arguments.rate,
        "order": arguments.order,
        "patches": patches,
        "bytes": runs[0]["bytes"],
        "seconds": seconds,
        "patches_per_second": {name: patches / seconds[name]["wall"] for name in names},
        "first_by_local": seconds["local"]["wall"] / seconds["first"]["wall"],
        "second_by_local": seconds["local_again"]["wall"] / seconds["second"]["wall"],
        "fetch_by_raw": seconds["raw"]["wall"] / seconds["fetch"]["wall"],
    }
    print(json.dumps(result, indent=1))
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    run(main)
