"""`bep download`."""

from pathlib import Path

import click

from bigearth_pipeline.cli.places import Local

PARTS = ("v1", "v1-s1", "v2", "v2-s1", "v2-maps", "v2-metadata")
"""Parts of BigEarthNet, by the names in `source/archive/official.json`."""


@click.command("download")
@click.argument("parts", metavar="PART...", nargs=-1, required=True, type=click.Choice(PARTS))
@click.option("--out", metavar="DIR", required=True, type=Local(), help="Folder for the files.")
@click.option(
    "--base-url",
    metavar="URL",
    help="Address of a folder that holds the files under their official names, such as that of a mirror.  "
    "[default: their records at Zenodo]",
)
@click.option("--connections", type=click.IntRange(1, 32), default=4, show_default=True, help="Connections at a time.")
def download(parts: tuple[str, ...], out: Path, base_url: str | None, connections: int) -> None:
    """Download BigEarthNet's official files.

    PART is v1 or v2 (Sentinel-2), v1-s1 or v2-s1 (Sentinel-1), v2-maps (reference maps) or v2-metadata (tables).

    The download can be stopped at any time: the same command resumes it. Sizes and MD5 are compared with the official
    ones. `bep build-shards v2` builds without keeping the archive.
    """
    from bigearth_pipeline.cli.errors import reported

    with reported(f"whole pieces of 8 MiB are kept; the same command resumes the download to {out}"):
        from bigearth_pipeline.cli.display.bytes import ByteProgress
        from bigearth_pipeline.cli.display.console import echo
        from bigearth_pipeline.download.files import download as fetch
        from bigearth_pipeline.source.archive.official import files_of
        from shards.reporting import RESULTS_KEPT

        for file in [file for part in dict.fromkeys(parts) for file in files_of(part)]:
            path = out / file.name
            with ByteProgress(file.name) as progress:
                done = fetch(
                    file.url(base_url), path, size=file.size, md5=file.md5, connections=connections,
                    say=progress.say, advance=progress.advance,
                )  # fmt: skip
            what = "downloaded" if done else "is there already"
            echo(f"{path}: {what}, {path.stat().st_size:,} bytes, MD5 {file.md5} as published")
        click.get_current_context().meta[RESULTS_KEPT] = True
