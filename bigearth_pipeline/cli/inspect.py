"""`bep inspect` and `bep stats`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.table import Table

    from shards.metadata.manifest import Manifest, SplitInfo


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
def inspect(folder: Path, as_json: bool) -> None:
    """Show what the store in DIR holds: splits, classes, size, band statistics."""
    from bigearth_pipeline.cli.errors import reported

    with reported():
        import json

        from shards.metadata.manifest import Manifest

        manifest = Manifest.read(folder)
        if as_json:
            click.echo(json.dumps(manifest.to_json()))
            return
        from bigearth_pipeline.cli.console import echo, human_bytes, print_table

        echo(
            f"{folder}: BigEarthNet {manifest.source_version}, {manifest.count:,} patches in "
            f"{len(manifest.shards):,} {manifest.format} shards of up to {manifest.patches_per_shard:,}, "
            f"{manifest.codec}, seed {manifest.seed}"
        )
        echo(
            f"{human_bytes(manifest.size_bytes)}, {manifest.size_bytes / manifest.count / 1000:.1f} kB a patch, "
            f"from {human_bytes(manifest.source_bytes)} of GeoTIFFs"
        )
        for reason, count in manifest.left_out.items():
            echo(f"left out: {count:,} × {reason}")
        print_table(_class_table(manifest))
        for name, split in manifest.splits.items():
            print_table(_statistics_table(name, split))


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test"]),
    help="Only this split.  [default: all that there are]",
)
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON: split → band → statistic.")
def stats(folder: Path, split: str | None, as_json: bool) -> None:
    """Print the exact band statistics of the store in DIR."""
    from bigearth_pipeline.cli.errors import reported

    with reported():
        import json

        from shards.metadata.manifest import Manifest

        manifest = Manifest.read(folder)
        if split and split not in manifest.splits:
            raise click.ClickException(f"{folder} has no split {split}; it has {', '.join(manifest.splits)}")
        chosen = {name: info for name, info in manifest.splits.items() if split in (None, name)}
        if as_json:
            statistics = {
                name: {band: values.to_json() for band, values in info.statistics.items()}
                for name, info in chosen.items()
            }
            click.echo(json.dumps(statistics))
            return
        from bigearth_pipeline.cli.console import print_table

        for name, info in chosen.items():
            print_table(_statistics_table(name, info))


def _class_table(manifest: "Manifest") -> "Table":
    from rich.table import Table

    table = Table(title="patches by class")
    table.add_column("class")
    for name in manifest.splits:
        table.add_column(name, justify="right")
    for label in manifest.classes:
        table.add_row(label, *(f"{split.class_counts[label]:,}" for split in manifest.splits.values()))
    table.add_section()
    table.add_row("patches", *(f"{split.count:,}" for split in manifest.splits.values()), style="bold")
    return table


def _statistics_table(name: str, split: "SplitInfo") -> "Table":
    from rich.table import Table

    table = Table(title=f"{name}: native pixels, digital numbers")
    table.add_column("band")
    percents = list(next(iter(split.statistics.values())).percentiles)
    for heading in ("mean", "std", "min", *(f"{percent} %" for percent in percents), "max", "nodata"):
        table.add_column(heading, justify="right")
    for band, values in split.statistics.items():
        table.add_row(
            band,
            f"{values.mean:.2f}",
            f"{values.std:.2f}",
            f"{values.min}",
            *(f"{value:g}" for value in values.percentiles.values()),
            f"{values.max}",
            f"{values.nodata:,}",
        )
    return table
