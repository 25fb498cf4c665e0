"""`bep inspect`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bigearth_pipeline.cli.places import PLACE

if TYPE_CHECKING:
    from collections.abc import Iterable

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
        from bigearth_pipeline.cli.display.console import echo_words, output_width, print_table
        from bigearth_pipeline.cli.display.statistics import statistics_table
        from shards.text.words import counted, human_bytes

        echo_words(f"{folder}: {manifest.dataset}")
        echo_words(
            f"{counted(manifest.count, 'patch', 'patches')} in "
            f"{counted(len(manifest.shards), f'{manifest.format} shard')} of up to {manifest.patches_per_shard:,}, "
            f"{manifest.codec}, seed {manifest.seed}"
        )
        echo_words(
            f"{human_bytes(manifest.size_bytes)}, {manifest.size_bytes / manifest.count / 1000:.1f} kB a patch, "
            f"from {human_bytes(manifest.source_bytes)} of GeoTIFFs"
        )
        for group in manifest.layout.extras:
            echo_words(
                f"group {group.name}: {len(group.bands)} × {group.size} × {group.size} {group.dtype} ({group.role}) of "
                f"{group.metres} m, {', '.join(group.bands)}, {group.codec}"
            )
        if manifest.classes43:
            echo_words(
                f"labels43: labels of the {len(manifest.classes43)} classes of BigEarthNet v1 too, in the index, for "
                "`bep train --classes 43`"
            )
        for reason, count in manifest.left_out.items():
            echo_words(f"left out: {count:,} × {reason}")
        counts = {
            name: [split.class_counts[label] for label in manifest.classes] for name, split in manifest.splits.items()
        }
        print_table(_class_table("patches by class", manifest.classes, counts, manifest))
        if manifest.classes43:
            print_table(
                _class_table("patches by class of v1", manifest.classes43, _counts43(folder, manifest), manifest)
            )
        for name, split in manifest.splits.items():
            print_table(statistics_table(name, split, output_width()))


def _counts43(folder: Path, manifest: "Manifest") -> dict[str, list[int]]:
    """Return the patches with each of the 43 classes by split; the manifest has those of the 19 alone."""
    from shards.layout.classes import FORTY_THREE
    from shards.metadata.index import Index

    index = Index.read(folder, manifest)
    labels = index.labels(FORTY_THREE)
    return {name: labels[index.rows(name)].sum(0, dtype=int).tolist() for name in manifest.splits}


def _class_table(title: str, classes: "Iterable[str]", counts: dict[str, list[int]], manifest: "Manifest") -> "Table":
    from rich.table import Table

    table = Table(title=title)
    table.add_column("class")
    for name in counts:
        table.add_column(name, justify="right")
    for i, label in enumerate(classes):
        table.add_row(label, *(f"{of_split[i]:,}" for of_split in counts.values()))
    table.add_section()
    table.add_row("patches", *(f"{split.count:,}" for split in manifest.splits.values()), style="bold")
    return table
