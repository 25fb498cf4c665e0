"""`bep describe`."""

from pathlib import Path

import click

from bigearth_pipeline.cli.places import PLACE, Local


@click.command()
@click.argument("folder", metavar="DIR", type=PLACE)
@click.option(
    "--out", metavar="DIR", required=True, type=Local(file_okay=False), help="Folder to write, not in the store."
)
def describe(folder: Path, out: Path) -> None:
    """Describe the store in DIR for GIS and catalogues, in files beside it.

    \b
    patches.parquet   GeoParquet 1.1: the square of each patch in EPSG:4326, with
                      the columns of the index; for QGIS, geopandas and DuckDB.
    croissant.json    Croissant 1.1 with its geo extension: files with checksums,
                      and the fields of the table.
    collection.json   STAC 1.1 collection of all this.

    Reads manifest and index, and no shard; files of an earlier description are replaced, others of these names refused.
    """  # noqa: D301
    from bigearth_pipeline.cli.errors import reported

    with reported():
        from bigearth_pipeline.cli.display.console import echo
        from bigearth_pipeline.describe.write import describe as write
        from shards.text.words import human_bytes

        for path in write(folder, out):
            echo(f"{path}: {human_bytes(path.stat().st_size)}")
