"""`bep inspect`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bigearth_pipeline.cli.places import PLACE

if TYPE_CHECKING:
    from rich.table import Table

    from shards.metadata.manifest import Manifest


@click.command()
@click.argument("folder", metavar="DIR", type=PLACE)
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
        from bigearth_pipeline.cli.display.console import echo, human_bytes, output_width, print_table
        from bigearth_pipeline.cli.display.statistics import statistics_table
        from shards.text.words import counted

        echo(
            f"{folder}: {manifest.dataset}, {counted(manifest.count, 'patch', 'patches')} in "
            f"{len(manifest.shards):,} {manifest.format} shards of up to {manifest.patches_per_shard:,}, "
            f"{manifest.codec}, seed {manifest.seed}"
        )
        echo(
            f"{human_bytes(manifest.size_bytes)}, {manifest.size_bytes / manifest.count / 1000:.1f} kB a patch, "
            f"from {human_bytes(manifest.source_bytes)} of GeoTIFFs"
        )
        for group in manifest.layout.extras:
            echo(
                f"group {group.name}: {len(group.bands)} × {group.size} × {group.size} {group.dtype} ({group.role}) of "
                f"{group.metres} m, {', '.join(group.bands)}, {group.codec}"
            )
        if manifest.classes43:
            echo(f"labels43: labels of the {len(manifest.classes43)} classes of BigEarthNet v1 too, in the index")
        for reason, count in manifest.left_out.items():
            echo(f"left out: {count:,} × {reason}")
        print_table(_class_table(manifest))
        for name, split in manifest.splits.items():
            print_table(statistics_table(name, split, output_width()))


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
