"""`bep bench build`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bigearth_pipeline.cli.bench.options import REPEATS
from bigearth_pipeline.cli.stores.build_shards import CODECS

if TYPE_CHECKING:
    from bigearth_pipeline.bench.build.measure import BuildBench
    from bigearth_pipeline.bench.rate import Rate


@click.command("build")
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--format", "store_format", type=click.Choice(["webdataset", "zarr"]), default="webdataset",
              show_default=True, help="Tars for streaming, or Zarr v3 arrays.")  # fmt: skip
@click.option("--codec", type=click.Choice(CODECS), default="blosc-lz4", show_default=True, help="Record compression.")
@click.option("--splits", metavar="DIR", type=click.Path(path_type=Path), help="Folder of v1's split lists.")
@click.option("--workers", type=click.IntRange(min=1), help="Worker processes.  [default: all cores]")
@click.option("--repeats", type=click.IntRange(min=1), default=3, show_default=True, help=REPEATS)
@click.option(
    "--work",
    metavar="DIR",
    type=click.Path(path_type=Path, exists=True),
    help="Where to write.  [default: the temporary folder]",
)
@click.option("--peer/--no-peer", default=True, help="Also measure rasterio + webdataset.ShardWriter.  [default: yes]")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def bench_build(
    sources: tuple[Path, ...],
    store_format: Any,
    codec: str,
    splits: Path | None,
    workers: int | None,
    repeats: int,
    work: Path | None,
    peer: bool,
    as_json: bool,
) -> None:
    """Measure `bep build-shards` on SOURCE: each stage alone, all together, and a plain converter beside it.

    Put SOURCE and --work on a tmpfs to measure the program rather than the disk.
    """
    from bigearth_pipeline.cli.errors import reported

    with reported():
        import json

        from bigearth_pipeline.bench.build import measure as benchmarks
        from bigearth_pipeline.build.config import BuildConfig, default_workers
        from bigearth_pipeline.cli.display.patches import PatchProgress

        config = BuildConfig(sources, Path("unused"), format=store_format, codec=codec, splits=splits)
        with PatchProgress("benchmark") as progress:
            found = benchmarks.bench_build(
                config,
                work=work,
                workers=workers or default_workers(),
                repeats=repeats,
                with_peer=peer,
                progress=progress,
            )
        if as_json:
            click.echo(json.dumps(found.to_json()))
        else:
            _print(found)


def _print(found: "BuildBench") -> None:
    from rich.table import Table

    from bigearth_pipeline.cli.display.console import print_table
    from shards.text.words import patches, percentage

    where = found.environment
    table = Table(
        title=f"{patches(found.patches)}, {where['codec']}, {where['cpu']}, source on {where['source_file_system']}"
    )
    table.add_column("")
    for heading in ("processes", "patches/s", "lowest", "highest"):
        table.add_column(heading, justify="right")

    def row(name: str, processes: int, rate: "Rate", style: str = "") -> None:
        numbers = (rate.median, rate.lowest, rate.highest)
        table.add_row(name, str(processes), *(f"{number:,.0f}" for number in numbers), style=style)

    for name, rate in found.stages.items():
        row(name, found.workers, rate)
    row("(read with rasterio)", found.workers, found.gdal, "dim")
    table.add_row("stages one by one", str(found.workers), f"{found.sum_of_stages:,.0f}", "", "", end_section=True)
    row("bep build-shards, whole command", found.workers, found.build, "bold")
    row("  without start and end", found.workers, found.build_shards)
    if found.peer:
        row("rasterio + ShardWriter", found.workers, found.peer)
    print_table(table)
    click.echo(
        f"bep build-shards --help takes {found.help_seconds:.2f} s; "
        f"the first patches are done {found.first_patch_seconds:.1f} s after the start"
    )
    times = f"; {found.times_peer:.1f} times rasterio + ShardWriter" if found.times_peer else ""
    click.echo(f"the whole command reaches {percentage(found.share_of_stages)} of its stages{times}")
