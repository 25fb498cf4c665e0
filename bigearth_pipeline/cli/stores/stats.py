"""`bep stats`."""

from pathlib import Path

import click

from bigearth_pipeline.cli.places import PLACE


@click.command()
@click.argument("folder", metavar="DIR", type=PLACE)
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test"]),
    help="Only this split.  [default: all splits]",
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
        from bigearth_pipeline.cli.display.console import output_width, print_table
        from bigearth_pipeline.cli.display.statistics import statistics_table

        for name, info in chosen.items():
            print_table(statistics_table(name, info, output_width()))
