"""`bep bench loader`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bigearth_pipeline.cli.bench.options import AUGMENT, DEVICE, FILE, LEAST_SECONDS, LOADER, LOADERS, RECIPES, REPEATS
from bigearth_pipeline.cli.errors import reported
from bigearth_pipeline.cli.places import PLACE, check_name

if TYPE_CHECKING:
    from bigearth_pipeline.bench.loader.measure import LoaderBench

_ORDERS = click.Choice(["global", "block", "sequential"])


@click.command("loader")
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=PLACE)
@click.option("--batch-size", default=256, show_default=True, type=click.IntRange(1), help="Patches of a batch.")
@click.option("--threads", type=click.IntRange(1, 1024), help="Decode threads.  [default: the cores]")
@click.option(
    "--order", "orders", multiple=True, type=_ORDERS, help="Order of the patches; repeat it.  [default: global]"
)
@click.option("--augment", default="flips", show_default=True, type=RECIPES, help=AUGMENT)
@click.option("--loader", default="auto", show_default=True, type=LOADERS, help=LOADER)
@click.option("--device", default="auto", show_default=True, type=click.Choice(["auto", "cpu", "cuda"]), help=DEVICE)
@click.option("--patches", type=click.IntRange(1), help="Patches of a lap.  [default: the train split, up to 16384]")
@click.option("--repeats", default=5, show_default=True, type=click.IntRange(1), help=REPEATS)
@click.option("--least-seconds", default=2.0, show_default=True, type=click.FloatRange(0), help=LEAST_SECONDS)
@click.option("--plot", metavar="FILE.png", type=FILE, help="Also draw the figures.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def bench_loader(
    folders: tuple[Path, ...], orders: tuple[Any, ...], device: str, plot: Path | None, as_json: bool, **options: Any
) -> None:
    """Measure how fast batches come from the stores in DIR, beside each of the stages that they go through.

    All passes take turns. The clock of a pass starts at its first batch; the start of threads is shown beside it.

    Rows marked warm read from the page cache. For rows marked cold the records are dropped from
    it before every pass; where that cannot be done, as on a tmpfs, they have no figure. What lies below the kernel,
    such as the cache of a virtual machine's host, stays as it is.

    The last lines say how long an epoch of BigEarthNet would take on this machine, and where its records are best kept.
    """
    with reported():
        check_name(plot, ".png")
        if plot is not None:
            from bigearth_pipeline.extra import DRAWING, require

            require(DRAWING)
        from bigearth_pipeline.bench.loader import measure as benchmarks
        from bigearth_pipeline.bench.loader.config import LoaderBenchConfig
        from bigearth_pipeline.bench.loader.forecast import Memory
        from bigearth_pipeline.cli.bench.rates import note_smaller_batch
        from bigearth_pipeline.cli.display.status import status_line
        from trainer.runtime.ranks import open_ranks

        found = []
        with open_ranks(device) as ranks:
            memory = Memory.now(ranks.device)
            for folder in dict.fromkeys(folders):
                for order in dict.fromkeys(orders or ("global",)):
                    config = LoaderBenchConfig(order=order, device=ranks.device, **options)
                    with status_line(f"{folder}, order {order}") as say:
                        found.append((folder, benchmarks.bench_loader(folder, config, memory, say)))
        for folder, bench in found:
            note_smaller_batch(folder, bench.config["batch_size"], options["batch_size"])
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
            _print(folder, bench)


def _print(folder: Path, found: "LoaderBench") -> None:
    """Print the rates of a store, and what follows from them."""
    from bigearth_pipeline.bench.loader.read_stages import READ
    from bigearth_pipeline.bench.loader.titles import TITLES
    from bigearth_pipeline.cli.bench.rates import RateTable, numbers, print_epochs
    from bigearth_pipeline.cli.display.console import echo
    from shards.text.words import patches, percentage

    config, where = found.config, found.environment
    echo(
        f"{folder}: {found.store['format']}, {found.store['codec']}, {patches(config['patches'])} in batches of "
        f"{config['batch_size']}, order {config['order']}, threads: {config['threads']}, {where['cpu']}, "
        f"{where['device']}, store on {where['store_file_system']}"
    )
    notes = [""] if found.missing else []
    table = RateTable("patches/s", "page cache", "median", "lowest", "highest", "start, s", "GB/s", *notes)
    for name, title in TITLES.items():
        if name in found.missing:
            table.add_row(title.text, title.cache, "", "", "", "", "", found.missing[name])
        elif name in found.rates:
            rate = found.rates[name]
            size = found.store["bytes_per_patch" if name.endswith(READ) else "decoded_bytes_per_patch"]
            table.add_row(title.text, title.cache, *numbers(rate), f"{rate.median * size / 1e9:.2f}")
    table.print()
    if found.warm_share is None:
        echo("whether all of the records' pages stayed in the page cache is not known here: warm may not be all warm")
    elif found.warm_share < 0.99:
        echo(
            f"only {percentage(found.warm_share)} of the records' pages stayed in the page cache: warm is not all warm"
        )
    echo(f"records reach {percentage(found.share_of_bound)} of {TITLES[found.bound].text}")
    echo(
        f"{found.store['bytes_per_patch'] / 1e3:.1f} kB a stored record; GB/s are of decoded records, except of reading"
    )
    print_epochs(found.epochs, {name: title.full for name, title in TITLES.items()}, where["store_file_system"])
