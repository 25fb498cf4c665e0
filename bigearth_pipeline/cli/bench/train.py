"""`bep bench train`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bigearth_pipeline.cli.bench.options import AUGMENT, DEVICE, FILE, LEAST_SECONDS, LOADER, LOADERS, RECIPES, REPEATS
from bigearth_pipeline.cli.errors import reported, with_flags
from bigearth_pipeline.cli.places import check_name

if TYPE_CHECKING:
    from bigearth_pipeline.bench.train.result import TrainBench

_MODES = click.Choice(["default", "reduce-overhead", "max-autotune", "cuda-graph"])


@click.command("train")
@click.argument("data", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--model", metavar="NAME", default="bepnet-s", show_default=True,
              help="Network: bepnet-s, bepnet-m, bepnet-l, or any of timm.")  # fmt: skip
@click.option("--batch-size", default=256, show_default=True, type=click.IntRange(1), help="Patches of a step.")
@click.option("--augment", default="flips", show_default=True, type=RECIPES, help=AUGMENT)
@click.option("--precision", default="auto", show_default=True, type=click.Choice(["auto", "bf16", "fp16", "fp32"]),
              help="Precision of the features; auto: bf16 on a GPU, else fp32.")  # fmt: skip
@click.option("--compile", "mode", is_flag=False, flag_value="default", type=_MODES, help="Compile the network.")
@click.option("--loader", default="auto", show_default=True, type=LOADERS, help=LOADER)
@click.option("--cache", default="none", show_default=True, type=click.Choice(["none", "ram", "gpu", "auto"]),
              help="Keep records in memory: the host's or the GPU's.")  # fmt: skip
@click.option("--device", default="auto", show_default=True, type=click.Choice(["auto", "cpu", "cuda"]), help=DEVICE)
@click.option("--threads", type=click.IntRange(1, 1024), help="Decode threads.  [default: the cores]")
@click.option("--steps", type=click.IntRange(1), help="Steps of a lap.  [default: 30, or those that the split has]")
@click.option("--repeats", default=5, show_default=True, type=click.IntRange(1), help=REPEATS)
@click.option("--least-seconds", default=2.0, show_default=True, type=click.FloatRange(0), help=LEAST_SECONDS)
@click.option("--trace", metavar="FILE.json", type=FILE, help="Also write a Chrome trace of one more pass.")
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
        check_name(trace, ".json")
        from bigearth_pipeline.bench.train.measure import bench_train as measure
        from bigearth_pipeline.cli.bench.rates import note_smaller_batch
        from bigearth_pipeline.cli.display.status import status_line
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
        with status_line(str(data)) as say:
            found = measure(
                config,
                steps=steps,
                repeats=repeats,
                warm_up=1,
                least_seconds=least_seconds,
                say=say,
                trace=trace,
            )
        note_smaller_batch(data, found.config["batch_size"], options["batch_size"])
        if as_json:
            click.echo(json.dumps(found.to_json()))
        else:
            _print(data, found)


def _print(folder: Path, found: "TrainBench") -> None:
    """Print the rates of the steps, and what follows from them."""
    from bigearth_pipeline.bench.train.result import COLD, FED, LOADER, RESIDENT
    from bigearth_pipeline.cli.bench.rates import RateTable, numbers, print_epochs
    from bigearth_pipeline.cli.display.console import echo
    from shards.text.words import percentage

    titles = {
        RESIDENT: "steps on one batch",
        FED: "steps from shards",
        LOADER: "loader alone",
        COLD: "loader alone, page cache cold",
    }
    config, where = found.config, found.environment
    echo(
        f"{folder}: {config['model']}, {config['parameters'] / 1e6:.1f} M parameters, "
        f"batches of {config['batch_size']}, {config['precision']}, cache {config['cache']}, {where['device']}, "
        f"{where['cpu']}, threads: {config['threads']}"
    )
    notes = [""] if found.missing else []
    table = RateTable("patches/s", "median", "lowest", "highest", "start, s", *notes)
    for name, rate in found.rates.items():
        table.add_row(titles[name], *numbers(rate))
    for name, why_not in found.missing.items():
        table.add_row(titles[name], "", "", "", "", why_not)
    table.print()
    idle = (
        ""
        if found.idle_share is None
        else f"the GPU had no step to work on {percentage(found.idle_share, 1)} of the time, "
    )
    echo(
        f"saturation {percentage(found.saturation, 1)}; {idle}the training thread waited for the loader "
        f"{percentage(found.wait_share, 1)} of the time, and the loop itself cost {percentage(found.other_share, 2)}; "
        f"{found.host_cores:.1f} host cores were busy"
    )
    if found.memory_bytes is not None:
        echo(f"{found.memory_bytes / 1e9:.1f} GB of device memory")
    echo(with_flags(found.advice))
    print_epochs(found.epochs, titles, where["store_file_system"], with_best=False)
