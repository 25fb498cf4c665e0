"""`bep report`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bigearth_pipeline.cli.places import PLACE, Local

if TYPE_CHECKING:
    from bigearth_pipeline.cli.display.phases import PhaseProgress


@click.command()
@click.argument("folders", metavar="DIR|RUN...", nargs=-1, required=True, type=PLACE)
@click.option(
    "--out", metavar="FILE", type=Local(), default="report.html", show_default=True, help="HTML file to write."
)
@click.option(
    "--samples",
    type=click.IntRange(0, 3),
    default=2,
    show_default=True,
    help="Patches to show of each class of a store; of a run, three times as many of the best, worst and most "
    "uncertain. Each takes up to 2 MB of the file; 0 leaves pictures out and reads no shard.",
)
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test"]),
    help="Split of the runs to report.  [default: test; validation without predictions of test]",
)
@click.option("--shards", "store", metavar="DIR", type=PLACE, help="Store of the run.  [default: that which it says]")
def report(folders: tuple[Path, ...], out: Path, samples: int, split: str | None, store: Path | None) -> None:
    """Write one HTML file about a store, a run or several runs, which needs no network and no other file.

    \b
    Of a store: a map, counts of labels, countries and months, histograms of the
      bands, pictures of patches, what was left out, and checksums.
    Of a run, ended or not: options, curves of the training, scores by class
      with intervals, precision and recall, reliability, mistakes, scores by
      country and month, the best, worst and most uncertain patches, and
      explanations of the worst (with the extra explain).
    Of several runs: a table, curves, score against time and parameters, and
      differences by class with intervals.

    Scores come from the predictions in RUN/predictions-SPLIT.parquet, which bep train --test and bep evaluate write.
    The same store and runs, named by the same paths, give the same bytes.
    """  # noqa: D301
    from bigearth_pipeline.cli.errors import reported

    with reported():
        from bigearth_pipeline.extra import PAGES, require
        from bigearth_pipeline.report.kind import kind_of

        require(PAGES)
        kinds = {folder: kind_of(folder) for folder in folders}
        from bigearth_pipeline.cli.display.console import echo
        from bigearth_pipeline.cli.display.phases import PhaseProgress
        from bigearth_pipeline.report.page.file import check_out, write_page
        from shards.text.words import human_bytes

        _check(kinds, folders, split, store)
        check_out(out, folders if store is None else (*folders, store))
        with PhaseProgress() as phases:
            content = _content(folders, kinds[folders[0]], samples, split, store, phases)
        write_page(out, content)
        echo(f"{out}: {human_bytes(len(content))}")


def _check(kinds: Mapping[Path, str], folders: tuple[Path, ...], split: str | None, store: Path | None) -> None:
    """Check that there is a report of these folders, and that no option is without effect.

    Raises:
        InvalidValue: no reporter fits the folders, or an option has no effect.
        PipelineError: a run is named twice.
    """
    from bigearth_pipeline.report.kind import check_distinct
    from shards.errors import InvalidValue

    found = [folder for folder, kind in kinds.items() if kind == "store"]
    if not found:
        if store is not None and len(folders) > 1:
            raise InvalidValue(f"`store={store}` is for the report of a single run; that of several needs no store")
        check_distinct(folders)
        return
    if len(found) < len(kinds):
        run = next(folder for folder in kinds if folder not in found)
        raise InvalidValue(f"{found[0]} is the folder of a store and {run} that of a run; write a report of each")
    if len(folders) > 1:
        raise InvalidValue(f"{len(folders)} stores, expected one; write a report of each with its own `out=`")
    for name, value in (("split", split), ("store", store)):
        if value is not None:
            raise InvalidValue(f"`{name}={value}` is for reports of runs, and {found[0]} is the folder of a store")


def _content(
    folders: tuple[Path, ...], kind: str, samples: int, split: str | None, store: Path | None, phases: "PhaseProgress"
) -> bytes:
    if kind == "store":
        from bigearth_pipeline.report.store.report import store_report

        return store_report(folders[0], samples, phases)
    if len(folders) == 1:
        from bigearth_pipeline.report.run.report import run_report

        return run_report(folders[0], split=split, store=store, samples=samples, given=str(folders[0]), phases=phases)
    from bigearth_pipeline.report.runs.report import runs_report

    return runs_report(folders, split=split, phases=phases)
