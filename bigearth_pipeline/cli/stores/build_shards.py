"""`bep build-shards`."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bigearth_pipeline.cli.places import PLACE, Local
from bigearth_pipeline.cli.stores.options import scheduler_address, split_shares, stall_minutes

if TYPE_CHECKING:
    from bigearth_pipeline.build.summary import BuildSummary

CODECS = (
    "blosc-lz4",
    "blosc-zstd",
    "bitpack",
    "raw",
)  # The names of `shards.CODECS`, whose import would slow the help.


@click.command("build-shards")
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@click.option("--out", metavar="DIR", required=True, type=PLACE, help="Directory or address of the store.")
@click.option("--format", "store_format", type=click.Choice(["webdataset", "zarr"]), default="webdataset",
              show_default=True, help="Tars for streaming, or Zarr v3 arrays.")  # fmt: skip
@click.option("--codec", type=click.Choice(CODECS), default="blosc-lz4", show_default=True, help="Record compression.")
@click.option(
    "--metadata",
    metavar="FILE",
    multiple=True,
    type=click.Path(path_type=Path),
    help="BigEarthNet v2 table (Parquet); repeat it to add the snow/cloud table. Default: those in or beside SOURCE. "
    "For v1 it only adds countries.",
)
@click.option(
    "--splits",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder of split lists (train.csv, val.csv, test.csv; plain, .bz2 or .gz), which replace the splits in v2's "
    "tables. Default: for v1, those in or beside SOURCE.",
)
@click.option("--include-snow-cloud", is_flag=True, help="Also take patches with seasonal snow, clouds or shadows.")
@click.option(
    "--split-by",
    metavar="hash:A/B/C",
    callback=split_shares,
    help="Split patches that have no split by a hash of their names, into A % train, B % validation, C % test.",
)
@click.option(
    "--offset",
    type=click.Choice(["auto", "none"]),
    help="Subtract the radiometric offset (1000) of processing baseline 04.00 and later where a patch has it, or store "
    "all pixels as they are.  [default: as they are, and patches with and without it are not mixed]",
)
@click.option(
    "--labels43",
    is_flag=True,
    help="Also keep the labels of BigEarthNet v1's 43 classes, for `bep train --classes 43`.",
)
@click.option("--patches-per-shard", type=click.IntRange(min=1), default=2048, show_default=True,
              help="Patches of a shard; the last one of a split has what is left.")  # fmt: skip
@click.option(
    "--seed", type=click.IntRange(-(2**63), 2**63 - 1), default=0, show_default=True, help="Seed of the shuffle."
)
@click.option("--workers", type=click.IntRange(min=1), help="Worker processes.  [default: all cores]")
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    callback=scheduler_address,
    help="Use an existing Dask scheduler, whose workers see the same paths.",
)
@stall_minutes
@click.option(
    "--limit", type=click.IntRange(min=1), help="Largest number of patches to store, a sample over all splits."
)
@click.option(
    "--allow-bad", type=click.IntRange(min=0), default=0, show_default=True, help="Number of bad patches to tolerate."
)
@click.option("--require-all", is_flag=True, help="Table rows without folders and folders without rows are an error.")
@click.option(
    "--spool",
    metavar="DIR",
    type=Local(),
    help="Folder for encoded patches of an archive until their shards are written; it takes about as much disk as the "
    "store.  [default: the folder that holds the store; required for a store at an address]",
)
@click.option(
    "--keep",
    metavar="DIR",
    type=Local(),
    help="Folder in which to keep an archive from an address.  [default: not kept]",
)
@click.option(
    "--base-url",
    metavar="URL",
    help="Address of a folder with the official files, for `v1` and `v2`.  [default: their records at Zenodo]",
)
@click.option(
    "--connections",
    type=click.IntRange(1, 32),
    default=4,
    show_default=True,
    help="Connections to an address.",
)
@click.option("--overwrite", is_flag=True, help="Replace an earlier build in the directory.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def build_shards(
    sources: tuple[str, ...],
    out: Path,
    store_format: Any,
    codec: str,
    metadata: tuple[Path, ...],
    splits: Path | None,
    include_snow_cloud: bool,
    split_by: tuple[int, int, int] | None,
    offset: Any,
    labels43: bool,
    patches_per_shard: int,
    seed: int,
    workers: int | None,
    scheduler: str | None,
    stall_minutes: float,
    limit: int | None,
    allow_bad: int,
    require_all: bool,
    spool: Path | None,
    keep: Path | None,
    base_url: str | None,
    connections: int,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Turn BigEarthNet GeoTIFFs into compressed shards with exact statistics.

    SOURCE is a BigEarthNet v1 or v2 tree, or a tar archive of one (.tar, .tar.zst, .tar.gz, .tar.bz2, .tar.xz), which
    is read in one pass and not unpacked; which of these it is, is detected. An archive may be an address of http(s)://,
    s3://, gs:// or az://; `v1` and `v2` stand for the official ones, and the tables of v2 are downloaded as well. The
    build can be stopped at any time: the same command resumes it, and the result has the same bytes as that of an
    uninterrupted build.
    """
    from bigearth_pipeline.cli.errors import reported

    again = "the same command without --overwrite" if overwrite else "the same command"
    with reported(f"finished shards are kept; {again} resumes the build in {out}"):
        from bigearth_pipeline.build.config import BuildConfig, default_workers
        from bigearth_pipeline.build.run import build
        from bigearth_pipeline.build.select import Rules
        from bigearth_pipeline.cli.display.patches import PatchProgress
        from bigearth_pipeline.cli.stores.origin import origin_of
        from bigearth_pipeline.errors import PipelineError
        from bigearth_pipeline.workers import Limits
        from shards.reporting import RESULTS_KEPT

        if scheduler is not None and workers is not None:
            raise PipelineError("`workers=` has no effect with `scheduler=`, which has its own; leave it out")
        origin = origin_of(sources, out, keep, base_url)
        config = BuildConfig(
            sources=origin.paths,
            urls=origin.urls,
            keep=keep,
            connections=connections,
            out=out,
            format=store_format,
            codec=codec,
            metadata=metadata or origin.tables,
            splits=splits,
            rules=Rules(include_snow_cloud, split_by, limit, seed, offset),
            patches_per_shard=patches_per_shard,
            allow_bad=allow_bad,
            require_all=require_all,
            overwrite=overwrite,
            spool=spool,
            labels43=labels43,
        )
        with PatchProgress("building") as progress:
            summary = build(
                config,
                workers=workers or default_workers(),
                scheduler=scheduler,
                progress=progress,
                limits=Limits.of_minutes(stall_minutes),
            )
        click.get_current_context().meta[RESULTS_KEPT] = True
        if as_json:
            import json

            click.echo(json.dumps(_summary_json(summary, out)))
        else:
            _print_summary(summary, out)


def _summary_json(summary: "BuildSummary", out: Path) -> dict[str, Any]:
    from dataclasses import asdict

    manifest = summary.manifest
    return {
        "out": str(out),
        "format": manifest.format,
        "codec": manifest.codec,
        "source_version": manifest.source_version,
        "patches": manifest.count,
        "splits": {name: split.count for name, split in manifest.splits.items()},
        "shards": len(manifest.shards),
        "left_out": manifest.left_out,
        "unmatched": summary.unmatched,
        "bad": summary.bad,
        "ignored_folders": len(summary.foreign),
        **asdict(summary.facts),
        "source_bytes": manifest.source_bytes,
        "store_bytes": manifest.size_bytes,
        "ratio": manifest.source_bytes / manifest.size_bytes,
        "built": summary.built,
        "seconds": summary.seconds,
        "patches_per_second": summary.built / summary.seconds if summary.built else None,
        "finished_before": summary.finished_before,
    }


def _print_summary(summary: "BuildSummary", out: Path) -> None:
    from rich.table import Table

    from bigearth_pipeline.build.reports import MOST_UNMATCHED
    from bigearth_pipeline.build.run import UNMATCHED
    from bigearth_pipeline.cli.display.console import echo, echo_next, print_table
    from bigearth_pipeline.cli.errors import with_flags
    from bigearth_pipeline.extra import TRAINING, is_installed
    from shards.text.words import counted, human_bytes, rate
    from shards.write.contents import UNMATCHED_PRODUCTS

    manifest = summary.manifest
    if summary.finished_before:
        echo(f"{out} is finished already: nothing was done, and nothing checked (bep verify does that)")
    # Not the title of the table, which would break a long path into lines.
    echo(f"{out}: {manifest.dataset}, {manifest.format}, {manifest.codec}")
    table = Table()
    table.add_column("")
    table.add_column("patches", justify="right")
    table.add_column("shards", justify="right")
    for name, split in manifest.splits.items():
        shards = sum(shard.split == name for shard in manifest.shards)
        table.add_row(name, f"{split.count:,}", f"{shards:,}")
    table.add_row("stored", f"{manifest.count:,}", f"{len(manifest.shards):,}", end_section=True, style="bold")
    for reason, count in manifest.left_out.items():
        listed = f" ({UNMATCHED})" if summary.unmatched.get(reason) == count else ""
        table.add_row(f"left out: {reason}{listed}", f"{count:,}", "")
    for kind, count in summary.unmatched.items():
        if manifest.left_out.get(kind) != count:
            table.add_row(f"{kind} ({UNMATCHED})", f"{count:,}", "")
    print_table(table)
    if (number := sum(summary.unmatched.values())) > MOST_UNMATCHED:
        echo(
            f"{UNMATCHED} lists {MOST_UNMATCHED:,} of the {number:,} names; {UNMATCHED_PRODUCTS} counts all by product"
        )
    for fact in summary.facts.lines():
        echo(with_flags(fact))
    if summary.foreign:
        shown = ", ".join(summary.foreign[:5]) + (", …" if len(summary.foreign) > 5 else "")
        echo(f"ignored {counted(len(summary.foreign), 'folder')} that are no part of BigEarthNet: {shown}")
    ratio = manifest.source_bytes / manifest.size_bytes
    echo(
        f"{human_bytes(manifest.source_bytes)} of GeoTIFFs of the stored patches → "
        f"{human_bytes(manifest.size_bytes)} of shards (ratio {ratio:.2f})"
    )
    if summary.built:
        patches = counted(summary.built, "patch", "patches")
        whole, steady = rate(summary.built / summary.seconds), rate(summary.built / summary.build_seconds)
        echo(f"{patches} in {summary.seconds:.1f} s: {whole} patches/s ({steady} without start and end)")
    place = shlex.quote(str(out))
    following = [f"bep inspect {place}", f"bep verify {place}"]
    if {"train", "validation"} <= manifest.splits.keys() and is_installed(TRAINING):
        following.append(f"bep train {place} --out runs/first")
    echo_next(*following)
