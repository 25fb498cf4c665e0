"""`bep bench loader` and `bep bench train`."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trainer.cli.errors import reported

if TYPE_CHECKING:
    from trainer.bench.loader import LoaderBench
    from trainer.bench.passes import Rate
    from trainer.bench.train import TrainBench

_RECIPES = click.Choice(["none", "flips", "standard", "strong"])
_MODES = click.Choice(["default", "reduce-overhead", "max-autotune"])
_EPOCHS = (("v2 train", 237_871), ("v1, all patches", 590_326))
"""Patches whose time is predicted."""


@click.command("loader")
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--batch-size", default=256, show_default=True, type=click.IntRange(1))
@click.option("--threads", type=click.IntRange(1), help="Decode threads.  [default: the cores]")
@click.option("--order", default="global", show_default=True, type=click.Choice(["global", "block", "sequential"]))
@click.option("--augment", default="flips", show_default=True, type=_RECIPES)
@click.option("--loader", "backend", default="auto", show_default=True, type=click.Choice(["auto", "dali", "torch"]))
@click.option("--device", default="auto", show_default=True, type=click.Choice(["auto", "cpu", "cuda"]))
@click.option("--patches", type=click.IntRange(1), help="Patches of a pass.  [default: the train split, up to 16384]")
@click.option("--repeats", default=5, show_default=True, type=click.IntRange(1))
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def bench_loader(folders: tuple[Path, ...], order: Any, device: str, as_json: bool, **options: Any) -> None:
    """Measure how fast batches come from the stores in DIR, beside each of the stages that they go through.

    All passes take turns. Stores are read from the page cache after the first round; put them on a tmpfs to be sure.
    """
    with reported():
        from trainer.bench import loader as benchmarks
        from trainer.training.ranks import open_ranks

        with open_ranks(device) as ranks:
            config = benchmarks.LoaderBenchConfig(kind=order, device=ranks.device, **options)
            found = [(folder, benchmarks.bench_loader(folder, config, _watch(str(folder)))) for folder in folders]
    if as_json:
        click.echo(json.dumps({str(folder): bench.to_json() for folder, bench in found}))
        return
    for folder, bench in found:
        _print_loader(folder, bench)


@click.command("train")
@click.argument("data", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--model", default="bepnet-s", show_default=True)
@click.option("--batch-size", default=256, show_default=True, type=click.IntRange(1))
@click.option("--augment", default="flips", show_default=True, type=_RECIPES)
@click.option("--precision", default="auto", show_default=True, type=click.Choice(["auto", "bf16", "fp16", "fp32"]))
@click.option("--compile", "mode", is_flag=False, flag_value="default", type=_MODES, help="Compile the network.")
@click.option("--loader", default="auto", show_default=True, type=click.Choice(["auto", "dali", "torch"]))
@click.option("--cache", default="none", show_default=True, type=click.Choice(["none", "ram", "gpu", "auto"]))
@click.option("--device", default="auto", show_default=True, type=click.Choice(["auto", "cpu", "cuda"]))
@click.option("--threads", type=click.IntRange(1), help="Decode threads.  [default: the cores]")
@click.option("--steps", default=30, show_default=True, type=click.IntRange(1), help="Steps of a pass.")
@click.option("--repeats", default=5, show_default=True, type=click.IntRange(1))
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def bench_train(
    data: Path, augment: str, mode: str | None, steps: int, repeats: int, as_json: bool, **options: Any
) -> None:
    """Measure whether the device is kept busy by the shards in DIR.

    Three passes take turns: steps on one batch that lies on the device, steps fed from the shards in the training loop,
    and the loader alone. The ratio of the first two is the saturation.
    """
    with reported():
        from trainer.bench.train import bench_train as measure
        from trainer.data.augment import RECIPES
        from trainer.training.config import TrainConfig

        config = TrainConfig(
            data=data,
            out=Path("unused"),
            epochs=1_000_000,
            augmentation=RECIPES[augment],
            compile=mode,
            **options,
        )
        found = measure(config, steps=steps, repeats=repeats, warm_up=1, watch=_watch(str(data)))
    if as_json:
        click.echo(json.dumps(found.to_json()))
    else:
        _print_train(data, found)


def _watch(what: str) -> Any:
    """Return a function that shows on a terminal what is measured now."""

    def watch(text: str) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r\033[K{what}: {text}", nl=False, err=True)

    return watch


def _print_loader(folder: Path, found: "LoaderBench") -> None:
    from trainer.bench.loader import TITLES

    config, where = found.config, found.environment
    title = (
        f"{folder}: {found.store['format']}, {found.store['codec']}, {config['patches']:,} patches in batches of "
        f"{config['batch_size']}, order {config['order']}, {config['threads']} threads, {where['cpu']}, "
        f"{where['device']}, store on {where['store_file_system']}"
    )
    _print_rates(title, {TITLES[name]: rate for name, rate in found.rates.items()}, found.store)
    click.echo(
        f"records reach {found.share_of_bound:.0%} of {TITLES[found.bound]}; an epoch of images at native resolution "
        f"takes {_epochs(found.rates['native'].median)}"
    )


def _print_train(folder: Path, found: "TrainBench") -> None:
    config, where = found.config, found.environment
    title = (
        f"{folder}: {config['model']}, {config['parameters'] / 1e6:.1f} M parameters, "
        f"batches of {config['batch_size']}, {config['precision']}, {where['device']}, {where['cpu']}, "
        f"{config['threads']} threads"
    )
    names = {"resident": "steps on one batch", "fed": "steps from shards", "loader": "loader alone"}
    _print_rates(title, {names[name]: rate for name, rate in found.rates.items()}, None)
    click.echo(
        f"saturation {found.saturation:.1%}; the training thread waited for the loader {found.wait_share:.1%} of the "
        f"time, and the loop itself cost {found.other_share:.2%}"
    )
    if found.memory_bytes is not None:
        click.echo(f"{found.memory_bytes / 1e9:.1f} GB of device memory")
    click.echo(found.advice)
    click.echo(f"an epoch takes {_epochs(found.rates['fed'].median)}")


def _print_rates(title: str, rates: "dict[str, Rate]", store: dict[str, Any] | None) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    click.echo(title)
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("patches/s")
    for heading in ("median", "lowest", "highest", *(["GB/s"] if store else [])):
        table.add_column(heading, justify="right")
    for name, rate in rates.items():
        cells = [f"{number:,.0f}" for number in (rate.median, rate.lowest, rate.highest)]
        if store is not None:
            size = store["bytes_per_patch" if name.startswith("reading the") else "decoded_bytes_per_patch"]
            cells.append(f"{rate.median * size / 1e9:.2f}")
        table.add_row(name, *cells)
    width = None if (console := Console()).is_terminal else max(console.width, 200)
    Console(highlight=False, markup=False, emoji=False, width=width).print(table)


def _epochs(rate: float) -> str:
    parts = []
    for name, count in _EPOCHS:
        seconds = count / rate
        shown = (
            f"{seconds:.0f} s"
            if seconds < 120
            else f"{seconds / 60:.0f} min"
            if seconds < 7200
            else f"{seconds / 3600:.1f} h"
        )
        parts.append(f"{shown} ({name}: {count:,})")
    return " or ".join(parts)
