"""Rates of a store's loader: `python -m tools.gpu.measure.loading STORE --passes stacked native gpu_stacked`.

They are passes of `bep bench loader`, of which it has too many for the check on a GPU: each takes seconds.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bigearth_pipeline.bench.loader.config import LoaderBenchConfig
from bigearth_pipeline.bench.loader.passes import open_passes
from bigearth_pipeline.bench.loader.titles import TITLES
from bigearth_pipeline.bench.passes import LEAST_SECONDS, take_turns
from shards.errors import InvalidValue
from tools.arguments import count, run
from trainer.definition.choices import BACKENDS
from trainer.runtime.ranks import open_ranks


def measure(folder: Path, names: Sequence[str], config: LoaderBenchConfig) -> dict[str, Any]:
    """Return the rates of passes by name, and why others have none, as JSON values.

    Args:
        folder: of the store.
        names: of the passes.
        config: what to measure.

    Raises:
        InvalidValue: there is no pass of that name.
        OutOfMemory: the device or the host has not enough memory.
        ShardError: the store is damaged, or is none.
        ValueError: it has no train patches, or fewer than the number requested.
    """
    with open_passes(folder, config) as (store, config, rows, passes, missing):
        if unknown := sorted(set(names) - passes.keys() - missing.keys()):
            raise InvalidValue(f"{folder} has no pass {unknown[0]!r}; there are {', '.join(TITLES)}")
        chosen = {name: passes[name] for name in names if name in passes}
        rates = take_turns(chosen, repeats=config.repeats, warm_up=config.warm_up, least_seconds=config.least_seconds)
        return {
            "rates": {name: rate.to_json() for name, rate in rates.items()},
            "missing": {name: missing[name] for name in names if name in missing},
            "loader": config.loader,
            "batch_size": config.batch_size,
            "patches": len(rows),
            "threads": store.num_threads,
        }


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the rates as JSON."""
    parser = argparse.ArgumentParser(
        description="Measure how fast batches come from a store.", prog="python -m tools.gpu.measure.loading"
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("--passes", nargs="+", default=["stacked", "native"], help="default: stacked native")
    parser.add_argument("--loader", choices=BACKENDS, default="auto", help="default: auto")
    parser.add_argument("--batch-size", type=count, default=512, help="default: 512")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="default: auto")
    parser.add_argument("--repeats", type=count, default=3, help="timed passes; default: 3")
    parser.add_argument("--least-seconds", type=float, default=LEAST_SECONDS, help="of a timed pass; default: 2")
    options = vars(parser.parse_args(arguments))
    folder, names, device = (options.pop(name) for name in ("store", "passes", "device"))
    with open_ranks(device) as ranks:
        print(json.dumps(measure(folder, names, LoaderBenchConfig(device=ranks.device, **options))))


if __name__ == "__main__":
    run(main)
