"""Several runs as the sections see them, and which of them were evaluated on the same patches."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from bigearth_pipeline.progress import Phases, Silent
from bigearth_pipeline.report.figure.lines import MOST_LINES
from bigearth_pipeline.report.run.contents import (
    PREFERRED,
    RunContents,
    open_run,
    preferred_split,
    read_run,
    thresholds_of,
)
from bigearth_pipeline.report.scores.evaluated import with_values
from shards.text.words import patches
from trainer.history.groups import grouped, letters_of, scored_words
from trainer.history.names import run_names
from trainer.history.record import RunRecord
from trainer.metrics.intervals.bootstrap import Estimate
from trainer.metrics.intervals.table import Resampled, Scores, estimates, resample
from trainer.metrics.intervals.tiles import Tiles
from trainer.runs.folder import split_predictions
from trainer.runs.predictions import Predictions


@dataclass(frozen=True)
class RunsContents:
    """Several runs.

    Attributes:
        runs: in the order in which they were named.
        names: that distinguish them.
        split: whose predictions are compared.
        first: place of the run that the others are compared with, the first that has predictions; None if none has.
        tiles: of its patches; None if nothing tells them.
        apart: why a run cannot be compared with it, by place; runs that can be are not in here.
        resampled: scores in the same resamples, by place of each of `comparable`.
    """

    runs: Sequence[RunContents]
    names: Sequence[str]
    split: str
    first: int | None
    tiles: Tiles | None
    apart: dict[int, str]
    resampled: dict[int, Resampled] = field(default_factory=dict)

    @property
    def shown(self) -> range:
        """Places of the runs that charts show, the first ones."""
        return range(min(len(self.runs), MOST_LINES))

    @property
    def comparable(self) -> list[int]:
        """Places of the runs that were evaluated on the same patches, the one that is compared with among them."""
        return [i for i in range(len(self.runs)) if i not in self.apart]

    @property
    def scored_on(self) -> dict[str, str]:
        """Patches and classes of scores in words, by letter of each group of runs that compare; empty for one group."""
        groups = grouped([run.record for run in self.runs])
        if len(groups) == 1:
            return {}
        return {letters_of(i): scored_words(group[0]) for i, group in enumerate(groups)}

    def group(self, place: int) -> str:
        """Return the letter of the group of a run in `scored_on`."""
        return letters_of(
            [*dict.fromkeys(run.record.scored_on for run in self.runs)].index(self.runs[place].record.scored_on)
        )

    @property
    def apart_words(self) -> str:
        """A sentence for charts that show runs whose scores do not compare; empty if all compare."""
        if not self.scored_on:
            return ""
        return " Scores of groups with different letters in the table of trainings do not compare."

    def differences(self, place: int, other: int, score: str = "ap") -> list[Estimate]:
        """Return by how much the scores of one run are above those of another, by class, macro and micro.

        Both are of the same resamples, so what makes a resample easy or difficult for both does not count.
        """
        one, two = (getattr(self.resampled[i], score) for i in (place, other))
        found = estimates(one - two, self.runs[place].found.labels, self.tiles)
        return [
            each if a.value is None or b.value is None else replace(each, value=a.value - b.value)
            for each, a, b in zip(found, self.own(place, score), self.own(other, score), strict=True)
        ]

    def own(self, place: int, score: str = "ap") -> list[Estimate]:
        """Return the scores of one of `comparable`, with intervals; their values are those of the evaluation."""
        run = self.runs[place]
        ap, f1 = (
            estimates(getattr(self.resampled[place], name), run.found.labels, self.tiles) for name in ("ap", "f1")
        )
        return list(getattr(with_values(Scores(ap, f1), run.evaluated), score))


@contextmanager
def open_runs(
    folders: Sequence[Path], split: str | None = None, phases: Phases | None = None
) -> Iterator[RunsContents]:
    """Read runs, and pair the predictions of those that were evaluated on the same patches.

    Args:
        folders: of the runs.
        split: whose predictions are compared; None for test, or validation if no run has predictions of test.
        phases: receives the progress; None for no reports.

    Raises:
        TrainError: a file of a run is damaged.
        CorruptShard: a file of the store is damaged.
        OSError: a file cannot be read.
    """
    if split is None:
        found = [each for each in PREFERRED if any((folder / split_predictions(each)).exists() for folder in folders)]
        split = found[0] if found else preferred_split([RunRecord.read(folder) for folder in folders])
    runs = [replace(read_run(folder, split), given=str(folder)) for folder in folders]
    names = run_names(folders)
    first = next((i for i, run in enumerate(runs) if run.predictions is not None), None)
    if first is None:
        yield RunsContents(runs, names, split, None, None, {i: _absent(run) for i, run in enumerate(runs)})
        return
    with open_run(folders[first], split) as opened:
        apart: dict[int, str] = {}
        for i, run in enumerate(runs):
            if run.predictions is None:
                apart[i] = _absent(run)
            elif i != first:
                paired = _paired(run.predictions, opened.found)
                if isinstance(paired, str):
                    apart[i] = paired
                else:
                    runs[i] = replace(run, predictions=paired)
        contents = RunsContents(runs, names, split, first, opened.tiles, apart)
        phases = phases or Silent()
        phases.begin("resampling scores", len(contents.comparable), "run")
        for i in contents.comparable:
            each = runs[i].found
            contents.resampled[i] = resample(
                each.probabilities, each.labels, thresholds_of(each), opened.tiles, each.nomenclature
            )
            phases.advance(1)
        yield contents


def _absent(run: RunContents) -> str:
    return f"no predictions of the {run.split} split; {run.command} writes them"


def _paired(predictions: Predictions, first: Predictions) -> Predictions | str:
    """Return predictions in the order of others of the same patches, or why they are not of the same ones."""
    if predictions.nomenclature is not first.nomenclature:
        return (
            f"trained on {len(predictions.nomenclature)} classes, and the first run on {len(first.nomenclature)}: "
            "their scores are no scores of the same task"
        )
    if predictions.keys == first.keys:
        order = np.arange(len(first.keys))
    else:
        place = {key: i for i, key in enumerate(predictions.keys)}
        common = [place[key] for key in first.keys if key in place]
        if len(common) < len(first.keys) or len(place) > len(first.keys):
            return (
                f"evaluated on other patches: {patches(len(place))}, of which {len(common):,} are among the "
                f"{len(first.keys):,} of the first run"
            )
        order = np.array(common)
    if predictions.ignored != first.ignored:
        names = ["; ".join(each.ignored) or "no class" for each in (predictions, first)]
        return f"ignores {names[0]} (data.ignore_labels), and the first run {names[1]}"
    labels = predictions.labels[order]
    if different := int((labels != first.labels).any(axis=1).sum()):
        return f"evaluated on other labels: those of {patches(different)} differ"
    return replace(predictions, keys=first.keys, labels=labels, probabilities=predictions.probabilities[order])
