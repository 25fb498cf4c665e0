"""The report of a run: its sections, in order."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from bigearth_pipeline.progress import Phases, Silent
from bigearth_pipeline.report.page.blocks import Code, Page, Section, Text
from bigearth_pipeline.report.page.render import render
from bigearth_pipeline.report.page.sections import make_sections
from bigearth_pipeline.report.run.calibration import calibration
from bigearth_pipeline.report.run.classes import classes
from bigearth_pipeline.report.run.contents import RunContents, open_run
from bigearth_pipeline.report.run.curves import curves
from bigearth_pipeline.report.run.examples import examples
from bigearth_pipeline.report.run.explanations import explanations
from bigearth_pipeline.report.run.groups import groups
from bigearth_pipeline.report.run.mistakes import mistakes
from bigearth_pipeline.report.run.precision_recall import precision_recall
from bigearth_pipeline.report.run.training import training
from bigearth_pipeline.report.run.words import value_words
from shards.text.words import counted

SAMPLES: Final = 2
"""See `run_report`."""


def run_report(
    folder: Path,
    *,
    split: str | None = None,
    store: Path | None = None,
    samples: int = SAMPLES,
    given: str = "",
    phases: Phases | None = None,
) -> bytes:
    """Return the report of a run as HTML in UTF-8, ended or not. The same run gives the same bytes.

    Args:
        folder: of the run.
        split: whose predictions are reported; default: test, or validation if the test split has no predictions.
        store: folder of the store; default: that which the run's configuration names.
        samples: 0 to 3: three times as many of the best, worst and most uncertain patches each are shown, and as many
            explained.
        given: path of the folder for commands on the page; empty for its name, which makes the page independent of
            its place.
        phases: receives the progress, and a line on what the page has to leave out; None for no reports.

    Raises:
        TrainError: a file of the run is damaged.
        CorruptShard: a file of the store that is read is damaged.
        PipelineError: the store that was named is absent, or not that of the predictions.
        OSError: a file cannot be read.
    """
    phases = phases or Silent()
    with open_run(folder, split, store, given=given) as contents:
        if contents.predictions is None:
            phases.say(
                f"{folder} has no predictions of the {contents.split} split, so the page is without scores by class; "
                f"they are written by: {contents.command}"
            )
        elif contents.no_store:
            phases.say(contents.no_store)
        return render(run_page(contents, samples, phases))


def run_page(contents: RunContents, samples: int, phases: Phases) -> Page:
    """Return the page; see `run_report`."""
    makers: list[Callable[[RunContents], Section]] = [training, curves]
    if contents.predictions is None:
        makers.append(_without_predictions)
    else:
        # Sections that need predictions; those that need the store say so where it is absent.
        makers += [classes, precision_recall, calibration, mistakes, groups]
    sections = make_sections([partial(section, contents) for section in makers], phases)
    if contents.predictions is not None:
        sections += [examples(contents, samples, phases), explanations(contents, samples, phases)]
    source = "no predictions"
    if contents.predictions is not None:
        digest = value_words(contents.found.about.get("rows_sha256"))
        source = f"predictions of the {contents.split} split, rows SHA-256 {digest}"
    record = contents.record
    return Page(
        title=contents.name if contents.name.lower().startswith("run") else f"Run {contents.name}",
        summary=f"{record.config.model.model}, {record.state}, {counted(len(record.epochs), 'epoch')}.",
        sections=sections,
        source=f"Made by bep report of the run {contents.name}: {source}.",
    )


def _without_predictions(contents: RunContents) -> Section:
    split = contents.split
    words = (
        f"The run has no predictions of the {split} split, so this report leaves out scores by class with intervals, "
        "precision and recall, reliability, mistakes, scores by country and month, pictures and explanations."
    )
    return Section(
        "scores", f"Scores of the {split} split", (Text(words), Code("This command writes them:", contents.command))
    )
