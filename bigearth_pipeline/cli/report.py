"""`bep report`."""

from pathlib import Path

import click


@click.command()
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), default="report.html", show_default=True, help="HTML file to write."
)
@click.option(
    "--samples",
    type=click.IntRange(0, 3),
    default=2,
    show_default=True,
    help="Patches to show of each class, up to 2 MB of the file each; 0 leaves pictures out and reads no shard.",
)
def report(folders: tuple[Path, ...], out: Path, samples: int) -> None:
    """Write what the store in DIR holds as one HTML file, which needs no network and no other file.

    The page has a map, counts of labels, countries and months, histograms of the bands, pictures of patches, what was
    left out, and checksums. The same store gives the same bytes.
    """
    from bigearth_pipeline.cli.errors import reported

    with reported():
        from bigearth_pipeline.errors import PipelineError
        from bigearth_pipeline.extra import PAGES, require
        from bigearth_pipeline.report.kind import kind_of

        require(PAGES)
        kinds = {folder: kind_of(folder) for folder in folders}
        if "run" in kinds.values():
            run = next(folder for folder, kind in kinds.items() if kind == "run")
            raise PipelineError(f"{run} is the folder of a run; reports of runs do not exist yet, expected a store")
        if len(folders) > 1:
            raise PipelineError(f"{len(folders)} stores, expected one; write a report of each with its own `out=`")
        from bigearth_pipeline.cli.display.console import echo, human_bytes
        from bigearth_pipeline.report.page.file import check_out, write_page
        from bigearth_pipeline.report.store.report import store_report

        check_out(out, folders)
        content = store_report(folders[0], samples)
        write_page(out, content)
        echo(f"{out}: {human_bytes(len(content))}")
