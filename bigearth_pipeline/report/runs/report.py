"""The report of several runs: its sections, in order."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bigearth_pipeline.progress import Phases, Silent
from bigearth_pipeline.report.page.blocks import Page
from bigearth_pipeline.report.page.render import render
from bigearth_pipeline.report.page.sections import make_sections
from bigearth_pipeline.report.runs.contents import RunsContents, open_runs
from bigearth_pipeline.report.runs.curves import curves
from bigearth_pipeline.report.runs.differences import differences
from bigearth_pipeline.report.runs.overview import overview
from shards.text.words import counted, listed

_SECTIONS = (overview, curves, differences)


def runs_report(folders: Sequence[Path], *, split: str | None = None, phases: Phases | None = None) -> bytes:
    """Return the report of several runs as HTML in UTF-8, ended or not. The same runs give the same bytes.

    Args:
        folders: of the runs; differences are to the first that has predictions.
        split: whose predictions are compared; default: test, or validation if no run has predictions of test.
        phases: receives the progress; None for no reports.

    Raises:
        TrainError: a file of a run is damaged.
        CorruptShard: a file of the store of the first run is damaged.
        OSError: a file cannot be read.
    """
    phases = phases or Silent()
    with open_runs(folders, split, phases) as contents:
        return render(runs_page(contents, phases))


def runs_page(contents: RunsContents, phases: Phases) -> Page:
    """Return the page; see `runs_report`."""
    names = listed(list(contents.names))
    return Page(
        title=f"{counted(len(contents.runs), 'run')} compared",
        summary=f"{names}.",
        sections=make_sections([partial(section, contents) for section in _SECTIONS], phases),
        source=f"Made by bep report of {names}, predictions of the {contents.split} split.",
    )
