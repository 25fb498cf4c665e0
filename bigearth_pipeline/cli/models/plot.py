"""`bep plot`."""

from pathlib import Path

import click

from bigearth_pipeline.cli.places import Local


@click.command()
@click.argument("folders", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    metavar="FILE",
    type=Local(dir_okay=False),
    help="Picture to write, FILE.png or FILE.svg; a file of that name is replaced.",
)
def plot(folders: tuple[Path, ...], out: Path) -> None:
    """Draw the curves of up to six runs, and their average precision by class, as one picture.

    Curves are training loss, validation loss and validation AP macro by epoch, also of a run that has not ended.
    Scores by class are those of the test split if all runs were evaluated on it (bep train --test, bep evaluate), else
    those of the validation split. For intervals and more, see bep report.
    """
    from bigearth_pipeline.cli.errors import reported

    with reported():
        from bigearth_pipeline.extra import DRAWING, require

        require(DRAWING)
        from bigearth_pipeline.cli.display.console import echo
        from bigearth_pipeline.report.kind import check_distinct
        from bigearth_pipeline.report.runs.plot import format_of, plot_runs
        from shards.metadata.place import check_outside_stores
        from shards.storage.atomic import atomic_write
        from shards.text.words import human_bytes

        check_distinct(folders)
        check_outside_stores(out)
        content = plot_runs(folders, format_of(out))
        with atomic_write(out) as file:
            file.write(content)
        echo(f"{out}: {human_bytes(len(content))}")
