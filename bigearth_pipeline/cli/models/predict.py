"""The command `bep predict`. Importing this file costs no more than click; the rest is imported when it runs."""

import json
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from bigearth_pipeline.cli.errors import reported
from bigearth_pipeline.cli.places import PLACE, Local
from bigearth_pipeline.cli.run_options import run_option
from trainer.definition.choices import TTAS

if TYPE_CHECKING:
    from bigearth_pipeline.scenes.predict import Outcome

_path = click.Path(path_type=Path)
_MOST_NAMED: Final = 10
"""Patches that cannot be used and are named on the terminal."""
_MOST_CLASSES: Final = 5
"""Classes whose shares are shown there."""


def _baseline(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """Return a processing baseline as a number."""
    from bigearth_pipeline.scenes.inputs.description import parse_baseline

    try:
        return None if value is None else parse_baseline(value)
    except ValueError as err:
        raise click.BadParameter(str(err), context, parameter) from None


def _date(context: click.Context, parameter: click.Parameter, value: str | None) -> datetime | None:
    """Return a time as one in UTC, without a zone."""
    try:
        time = None if value is None else datetime.fromisoformat(value)
    except ValueError:
        what = f"{value!r:.40} is no time, expected one such as 2023-06-25 or 2023-06-25T10:40:31 (UTC)"
        raise click.BadParameter(what, context, parameter) from None
    return time if time is None or time.tzinfo is None else time.astimezone(UTC).replace(tzinfo=None)


@click.command()
@click.argument("run", type=_path)
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True, type=PLACE)
@click.option("--out", required=True, metavar="DIR", type=Local(), help="Folder of the results.")
@click.option("--with", "ensemble", metavar="RUN", multiple=True, type=_path,
              help="Average the probabilities with those of this run; can be repeated.")  # fmt: skip
@click.option("--tta", default="none", show_default=True, type=click.Choice(TTAS),
              help="Average the probabilities over the eight flips and turns of each patch (d4).")  # fmt: skip
@click.option("--split", default="test", show_default=True, type=click.Choice(["train", "validation", "test"]),
              help="Split of a store.")  # fmt: skip
@click.option("--overlap", default=0.0, show_default=True, metavar="SHARE", type=click.FloatRange(0, 0.95),
              help="Share of its side that a window has in common with the next one, in steps of 60 m.")  # fmt: skip
@click.option("--max-missing", default=0.1, show_default=True, metavar="SHARE",
              type=click.FloatRange(0, 1, max_open=True),
              help="Share of a patch without data, saturated or cloudy, beyond which it gets no result.")  # fmt: skip
@click.option("--offset", default="auto", show_default=True, type=click.Choice(["auto", "none"]),
              help="Subtract the offset of processing baselines from 04.00 on, or use pixels as they are.")  # fmt: skip
@click.option(
    "--baseline",
    metavar="NN.NN",
    callback=_baseline,
    help="Processing baseline of scenes that do not say theirs, such as 05.09 or N0509. N9999, that of BigEarthNet v2, "
    "has no offset.",
)
@click.option(
    "--date",
    metavar="TIME",
    callback=_date,
    help="Sensing time of scenes that do not say theirs, for the STAC item: 2023-06-25T10:40:31, in UTC.",
)
@click.option("--csv", is_flag=True, help="Write the table as CSV, too.")
@click.option("--picture/--no-picture", default=True, show_default=True,
              help="Write preview.png, which takes matplotlib.")  # fmt: skip
@run_option("machine.device", help="Device to predict on.")
@run_option("machine.threads", help="Batches predicted and files read at a time; results do not depend on it.",
            default="the cores")  # fmt: skip
@click.option("--batch-size", type=click.IntRange(1),
              help="Patches of a batch at most.  [default: 16 on a CPU, 128 on a GPU]")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Delete the results of another prediction in DIR.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def predict(
    run: Path,
    inputs: tuple[Path, ...],
    ensemble: tuple[Path, ...],
    date: datetime | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Predict the classes of each INPUT with the best checkpoint of RUN.

    INPUT is a Sentinel-2 Level-2A scene (.SAFE folder or .zip, a folder of band files, a GeoTIFF whose bands are
    described as B02, B03, …, or a local STAC item), a patch folder or tree of BigEarthNet, or a store of shards, also
    by its address.

    A scene is cut into windows of 1,200 m at the native resolution of each band; nothing is reprojected. DIR gets
    map.tif (Cloud Optimized GeoTIFF, one band a class, 60 m, probability in 1/250, 255 for no result), patches.parquet
    (GeoParquet), item.json (STAC) and preview.png; of patches and stores all but the map. Several scenes or stores get
    a folder each. The same command resumes an interrupted prediction.
    """
    again = "the same command without --overwrite" if options["overwrite"] else "the same command"
    with reported(f"{again} resumes"):
        from bigearth_pipeline.cli.display.patches import PatchProgress
        from bigearth_pipeline.errors import PipelineError
        from bigearth_pipeline.scenes.config import PredictConfig
        from bigearth_pipeline.scenes.predict import predict as work
        from shards.reporting import RESULTS_KEPT

        given = {name: value for name, value in options.items() if value is not None}
        if date is not None:
            given["date"] = date
        config = PredictConfig(runs=(run, *ensemble), inputs=inputs, **given)
        with PatchProgress("predicting") as progress:
            outcomes = work(config, progress)
        click.get_current_context().meta[RESULTS_KEPT] = True
        if as_json:
            click.echo(json.dumps([_to_json(outcome) for outcome in outcomes], ensure_ascii=False))
        else:
            for outcome in outcomes:
                _print(outcome)
        if useless := [outcome for outcome in outcomes if outcome.counts.faults == outcome.counts.patches > 0]:
            raise PipelineError(_useless(useless))


def _useless(outcomes: "list[Outcome]") -> str:
    """Return the line for results of which no patch could be used."""
    outcome = outcomes[0]
    name, reason = next(iter(outcome.left_out.items()))
    more = "" if len(outcomes) == 1 else f", nor of {len(outcomes) - 1} more inputs"
    return f"no patch of {outcome.name} can be used{more}; the first is {name}: {reason}"


def _to_json(outcome: "Outcome") -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "name": outcome.name,
        "folder": str(outcome.folder),
        **asdict(outcome.counts),
        "left_out": outcome.left_out,
    }


def _print(outcome: "Outcome") -> None:
    from bigearth_pipeline.cli.display.console import echo
    from shards.text.words import counted, percentage

    counts = outcome.counts
    one, many = ("window", "windows") if outcome.is_scene else ("patch", "patches")
    parts = [counted(counts.patches, one, many), f"{counts.predicted:,} with a result"]
    if counts.missing:
        parts.append(f"{counts.missing:,} with too much missing")
    if counts.faults:
        parts.append(f"{counts.faults:,} that cannot be used")
    echo(f"{outcome.name}: {', '.join(parts)}; written to {outcome.folder}")
    if outcome.left_out:
        echo("  left out:")
        for name, reason in islice(outcome.left_out.items(), _MOST_NAMED):
            echo(f"    {name}: {reason}")
        if (more := len(outcome.left_out) - _MOST_NAMED) > 0:
            echo(f"    and {more:,} more, see the column status of patches.parquet")
    if not counts.predicted:
        return
    common = sorted(((name, count) for name, count in counts.labels.items() if count), key=lambda each: -each[1])
    if not common:
        echo(f"  no class is at or above its threshold in any {one}")
        return
    echo(f"  share of the {many} with a result in which a class is at or above its threshold, the most frequent first:")
    for name, count in common[:_MOST_CLASSES]:
        echo(f"  {percentage(count / counts.predicted):>7}  {name}")
    if (more := len(common) - _MOST_CLASSES) > 0:
        echo(f"    and {more:,} more, see the column labels of patches.parquet")
