"""`bep bench loader` and `bep bench train`. Importing this file costs no more than click."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from bigearth_pipeline.cli.trainer_errors import reported

_LOADERS = click.Choice(["auto", "dali", "numba", "torch", "triton"])
_RECIPES = click.Choice(["none", "flips", "standard", "strong"])
_MODES = click.Choice(["default", "reduce-overhead", "max-autotune", "cuda-graph"])
_ORDERS = click.Choice(["global", "block", "sequential"])
_FILE = click.Path(path_type=Path, dir_okay=False, writable=True)
_LEAST = "A pass repeats its lap until it has been timed for so long."
_CLEAR = "\r\033[K"
_LOG_SECONDS = 10
"""Between two lines about what is measured, where there is no terminal."""


@click.command("loader")
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--batch-size", default=256, show_default=True, type=click.IntRange(1))
@click.option("--threads", type=click.IntRange(1, 1024), help="Decode threads.  [default: the cores]")
@click.option(
    "--order", "orders", multiple=True, type=_ORDERS, help="Order of the patches; repeat it.  [default: global]"
)
@click.option("--augment", default="flips", show_default=True, type=_RECIPES)
@click.option("--loader", default="auto", show_default=True, type=_LOADERS)
@click.option("--device", default="auto", show_default=True, type=click.Choice(["auto", "cpu", "cuda"]))
@click.option("--patches", type=click.IntRange(1), help="Patches of a lap.  [default: the train split, up to 16384]")
@click.option("--repeats", default=5, show_default=True, type=click.IntRange(1))
@click.option("--least-seconds", default=2.0, show_default=True, type=click.FloatRange(0), help=_LEAST)
@click.option("--plot", metavar="FILE.png", type=_FILE, help="Also draw the figures.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def bench_loader(
    folders: tuple[Path, ...], orders: tuple[Any, ...], device: str, plot: Path | None, as_json: bool, **options: Any
) -> None:
    """Measure how fast batches come from the stores in DIR, beside each of the stages that they go through.

    All passes take turns. The clock of a pass starts at its first batch; the start of threads is shown beside it.

    Rows marked warm read from the page cache. For rows marked cold the records are dropped from
    it before every pass; where that cannot be done, as on a tmpfs, they have no figure. What lies below the kernel,
    such as the cache of a virtual machine's host, stays as it is.

    At the end stands what an epoch of BigEarthNet would take on this machine, and where its records are best kept.
    """
    with reported():
        _check_name(plot, ".png")
        from bigearth_pipeline.bench.loader import measure as benchmarks
        from bigearth_pipeline.bench.loader.config import LoaderBenchConfig
        from bigearth_pipeline.bench.loader.forecast import Memory
        from bigearth_pipeline.cli.bench.tables import print_loader
        from trainer.runtime.ranks import open_ranks

        found = []
        with open_ranks(device) as ranks:
            memory = Memory.now(ranks.device)
            for folder in dict.fromkeys(folders):
                for order in dict.fromkeys(orders or ("global",)):
                    config = LoaderBenchConfig(order=order, device=ranks.device, **options)
                    with _watching(f"{folder}, order {order}") as watch:
                        found.append((folder, benchmarks.bench_loader(folder, config, memory, watch)))
        if plot is not None:
            from bigearth_pipeline.bench.loader.plot import plot_loader

            plot_loader(found, plot)
    if as_json:
        by_folder: dict[str, dict[str, Any]] = {}
        for folder, bench in found:
            by_folder.setdefault(str(folder), {})[bench.config["order"]] = bench.to_json()
        click.echo(json.dumps(by_folder))
        return
    for folder, bench in found:
        print_loader(folder, bench)


@click.command("train")
@click.argument("data", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--model", default="bepnet-s", show_default=True)
@click.option("--batch-size", default=256, show_default=True, type=click.IntRange(1))
@click.option("--augment", default="flips", show_default=True, type=_RECIPES)
@click.option("--precision", default="auto", show_default=True, type=click.Choice(["auto", "bf16", "fp16", "fp32"]))
@click.option("--compile", "mode", is_flag=False, flag_value="default", type=_MODES, help="Compile the network.")
@click.option("--loader", default="auto", show_default=True, type=_LOADERS)
@click.option("--cache", default="none", show_default=True, type=click.Choice(["none", "ram", "gpu", "auto"]))
@click.option("--device", default="auto", show_default=True, type=click.Choice(["auto", "cpu", "cuda"]))
@click.option("--threads", type=click.IntRange(1, 1024), help="Decode threads.  [default: the cores]")
@click.option("--steps", type=click.IntRange(1), help="Steps of a lap.  [default: 30, or those that the split has]")
@click.option("--repeats", default=5, show_default=True, type=click.IntRange(1))
@click.option("--least-seconds", default=2.0, show_default=True, type=click.FloatRange(0), help=_LEAST)
@click.option("--trace", metavar="FILE.json", type=_FILE, help="Also write a Chrome trace of one more pass.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def bench_train(
    data: Path,
    augment: str,
    mode: str | None,
    steps: int | None,
    repeats: int,
    least_seconds: float,
    trace: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure whether the device is kept busy by the shards in DIR.

    Three passes take turns: steps on one batch that lies on the device, steps fed from the shards in the training loop,
    and the loader alone. The ratio of the first two is the saturation. The clock starts at the first batch; the start
    of the loader, which an epoch has once, is shown beside the rates.
    """
    with reported():
        _check_name(trace, ".json")
        from bigearth_pipeline.bench.train.measure import bench_train as measure
        from bigearth_pipeline.cli.bench.tables import print_train
        from trainer.config.options import TrainConfig
        from trainer.definition.augmentation import RECIPES

        config = TrainConfig.of(
            shards=data,
            out=Path("unused"),
            epochs=1_000_000,
            augmentation=RECIPES[augment],
            compile=mode,
            **options,
        )
        with _watching(str(data)) as watch:
            found = measure(
                config,
                steps=steps,
                repeats=repeats,
                warm_up=1,
                least_seconds=least_seconds,
                watch=watch,
                trace=trace,
            )
    if as_json:
        click.echo(json.dumps(found.to_json()))
    else:
        print_train(data, found)


def _check_name(path: Path | None, suffix: str) -> None:
    """Raise if a result could not be written later, before minutes are spent on it."""
    from shards.errors import InvalidValue

    if path is None:
        return
    if path.suffix != suffix:
        raise InvalidValue(f"{path} ends in {path.suffix or 'nothing'}, expected {suffix}")
    if not path.absolute().parent.is_dir():
        raise InvalidValue(f"{path.absolute().parent} is no folder, expected one for {path.name}")


@contextmanager
def _watching(what: str) -> Iterator[Callable[[str], None]]:
    """Give a function that shows what is measured now: at once on a terminal, every ten seconds in a log."""
    from shards.reporting import printable

    shown = time.monotonic()
    what = printable(what)

    def watch(text: str) -> None:
        nonlocal shown
        if sys.stderr.isatty():
            click.echo(f"{_CLEAR}{what}: {text}", nl=False, err=True)
        elif time.monotonic() - shown >= _LOG_SECONDS:
            click.echo(f"{what}: {text}", err=True)
            shown = time.monotonic()

    try:
        yield watch
    finally:
        if sys.stderr.isatty():
            click.echo(_CLEAR, nl=False, err=True)
