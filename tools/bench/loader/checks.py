"""Processor time that comparing records with their checksums adds to reading and decoding them.

    python -m tools.bench.loader.checks STORE... --repeats 15

Passes take turns in one process. Those over a store that was opened anew also fault its files in, with and without
checks. Processor time of all threads, and not the clock, so that other work of the machine counts little.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

import shards
from tools.arguments import count, run

BATCH = 256


# All of them ones, so that no pass faults them in.
OUTPUTS = [np.ones((BATCH, shards.RECORD_VALUES), np.uint16) for _ in range(4)]


def read_once(store: shards.Store, batches: Sequence[np.ndarray], verify: shards.Verify) -> float:
    """Return the microseconds a patch of reading batches."""
    start = time.process_time()
    for number, rows in enumerate(batches):
        store.read_into(rows, OUTPUTS[number % 4], verify=verify)
    return (time.process_time() - start) / (len(batches) * BATCH) * 1e6


def measure(folder: Path, repeats: int, threads: int) -> dict[str, float]:
    """Return medians: microseconds a patch, and ratios to passes without checks."""
    times: dict[str, list[float]] = {}
    rng = np.random.default_rng(0)
    with shards.open(folder, num_threads=threads) as store:
        store.fetch(range(len(store)))

        def anew(batches: Sequence[np.ndarray], verify: shards.Verify) -> float:
            with shards.open(folder, num_threads=threads) as opened:
                return read_once(opened, batches, verify)

        passes: dict[str, Callable[[Sequence[np.ndarray]], float]] = {
            "never": lambda batches: read_once(store, batches, "never"),
            "always": lambda batches: read_once(store, batches, "always"),
            "second_epoch": lambda batches: read_once(store, batches, "first"),
            "first_epoch": lambda batches: anew(batches, "first"),
            "first_epoch_unchecked": lambda batches: anew(batches, "never"),
        }
        for number in range(repeats + 2):
            batches = rng.permutation(len(store))[: min(len(store), 10 * BATCH) // BATCH * BATCH].reshape(-1, BATCH)
            for name in rng.permutation(list(passes)).tolist():
                value = passes[name](batches)
                if number >= 2:
                    times.setdefault(name, []).append(value)

    def ratio(name: str, other: str) -> float:
        return statistics.median(a / b for a, b in zip(times[name], times[other], strict=True))

    return {f"{name}_us": round(statistics.median(values), 2) for name, values in times.items()} | {
        "always_to_never": round(ratio("always", "never"), 3),
        "second_epoch_to_never": round(ratio("second_epoch", "never"), 3),
        "first_epoch_to_unchecked": round(ratio("first_epoch", "first_epoch_unchecked"), 3),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line for each store as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stores", type=Path, nargs="+")
    parser.add_argument("--repeats", type=count, default=15)
    parser.add_argument("--threads", type=count, default=2)
    options = parser.parse_args(arguments)
    for folder in options.stores:
        print(json.dumps({"store": str(folder), **measure(folder, options.repeats, options.threads)}), flush=True)


if __name__ == "__main__":
    run(main)
