"""`bep bench predict`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bigearth_pipeline.cli.bench.options import DEVICE, LEAST_SECONDS, REPEATS
from bigearth_pipeline.cli.errors import reported
from trainer.definition.choices import TTAS

if TYPE_CHECKING:
    from bigearth_pipeline.bench.predict.measure import PredictBench

_path = click.Path(path_type=Path)


@click.command("predict")
@click.argument("run", type=_path)
@click.argument("scene", type=_path)
@click.option("--with", "ensemble", metavar="RUN", multiple=True, type=_path, help="Average with this run.")
@click.option("--tta", default="none", show_default=True, type=click.Choice(TTAS),
              help="Average over the eight flips and turns of each window (d4).")  # fmt: skip
@click.option("--rows", default=24, show_default=True, type=click.IntRange(1), help="Rows of windows of a lap.")
@click.option("--batch-size", type=click.IntRange(1), help="Windows of a batch at most.  [default: as bep predict]")
@click.option("--threads", type=click.IntRange(1, 1024), help="Threads that predict and read.  [default: the cores]")
@click.option("--device", default="auto", show_default=True, type=click.Choice(["auto", "cpu", "cuda"]), help=DEVICE)
@click.option("--repeats", default=3, show_default=True, type=click.IntRange(1), help=REPEATS)
@click.option("--least-seconds", default=2.0, show_default=True, type=click.FloatRange(0), help=LEAST_SECONDS)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def bench_predict(run: Path, scene: Path, ensemble: tuple[Path, ...], as_json: bool, **options: Any) -> None:
    """Measure how fast the windows of SCENE are predicted with RUN, beside the network alone.

    Four passes take turns over the same rows of windows: the network alone on images in memory; windows read, cut and
    predicted; windows only read and cut; and a plain loop that reads each window band by band with rasterio, from files
    that stay open, with GDAL's usual cache. Nothing is written.
    """
    with reported():
        from bigearth_pipeline.bench.predict.measure import bench_predict as measure
        from bigearth_pipeline.cli.display.status import status_line

        with status_line(str(scene)) as say:
            found = measure((run, *ensemble), scene, say=say, **options)
        if as_json:
            click.echo(json.dumps(found.to_json()))
        else:
            _print(scene, found)


def _print(scene: Path, found: "PredictBench") -> None:
    from bigearth_pipeline.bench.predict.passes import LOOP, PREDICT, READ, RESIDENT
    from bigearth_pipeline.cli.bench.rates import RateTable, numbers
    from bigearth_pipeline.cli.display.console import echo
    from shards.text.words import percentage

    titles = {
        RESIDENT: "network alone",
        PREDICT: "read, cut and predicted",
        READ: "read and cut",
        LOOP: "plain rasterio loop",
    }
    config, where = found.config, found.environment
    echo(
        f"{scene}: {', '.join(config['models'])}, {len(config['bands'])} bands, {config['windows']:,} windows a lap, "
        f"batches of {config['batch_size']}, threads: {config['threads']}, {where['device']}, {where['cpu']}"
    )
    table = RateTable("windows/s", "median", "lowest", "highest", "start, s")
    for name, rate in found.rates.items():
        table.add_row(titles[name], *numbers(rate))
    table.print()
    echo(
        f"predicting reaches {percentage(found.share)} of the rate of the network alone; reading and cutting is "
        f"{found.times_loop:.1f} times as fast as the loop"
    )
