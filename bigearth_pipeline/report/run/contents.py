"""A run as the sections see it: its files, its predictions of a split, and their store, if it is there."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

import shards
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.report.scores.evaluated import metrics_of, with_values
from bigearth_pipeline.report.store.contents import short_names
from shards import SPLITS, Store
from shards.metadata.manifest import MANIFEST
from shards.storage.places import storage_of
from shards.text.words import patches, percentage
from trainer.history.record import RunRecord
from trainer.metrics.intervals.bootstrap import LEVEL, RESAMPLES, SEED
from trainer.metrics.intervals.table import Scores, decide, score
from trainer.metrics.intervals.tiles import FEW_TILES, FEWEST_TILES, Tiles, tiles_of_names, tiles_of_places
from trainer.metrics.metrics import Metrics
from trainer.runs.folder import split_predictions
from trainer.runs.predictions import BadPredictions, Predictions
from trainer.runs.store_place import find_store, places_of

PREFERRED: Final = ("test", "validation")
"""Splits whose predictions are reported, the first that there are."""


@dataclass(frozen=True)
class RunContents:
    """A run, and what belongs to it.

    Attributes:
        record: what its files say.
        split: whose predictions are reported.
        predictions: of that split, in the order of the file; None without such a file.
        validation: predictions of the validation split by the same weights, to fit a temperature on; None if there are
            none, or that is the split that is reported.
        store: the open store of the predictions; None if it is absent.
        rows: row of each patch in the index of the store, (N,) int64; None without a store.
        no_store: why there is no store, in a sentence; empty if there is one, or it is not needed.
        given: path of the run's folder for commands; empty for its name, so that the page is the same wherever it lies.
        shards: option that names the store for commands; empty where the run says where it is.
    """

    record: RunRecord
    split: str
    predictions: Predictions | None
    validation: Predictions | None = None
    store: Store | None = None
    rows: NDArray[np.int64] | None = None
    no_store: str = ""
    given: str = ""
    shards: str = ""

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return self.record.folder.resolve().name

    @property
    def place(self) -> str:
        """Folder of the run for commands."""
        return self.given or self.name

    @property
    def command(self) -> str:
        """Command that writes the predictions."""
        return self.evaluate_command(self.split)

    def evaluate_command(self, split: str) -> str:
        """Return the command that writes the predictions of a split."""
        return self.command_for("evaluate", f"--split {split}")

    def command_for(self, verb: str, options: str) -> str:
        """Return a command on the run, such as `bep explain RUN --worst 5`, as it works from here."""
        return " ".join(["bep", verb, shlex.quote(self.place), options, *([self.shards] if self.shards else [])])

    @property
    def found(self) -> Predictions:
        """The predictions, where it is known that there are some."""
        assert self.predictions is not None
        return self.predictions

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes of the run, in the order of labels and probabilities."""
        return self.found.nomenclature.names

    @property
    def short_classes(self) -> tuple[str, ...]:
        """Their names for charts."""
        return short_names(self.classes)

    @property
    def thresholds(self) -> Mapping[str, float] | None:
        """Thresholds by class name, tuned on the validation split; None if none were tuned."""
        return thresholds_of(self.found)

    @cached_property
    def predicted(self) -> NDArray[np.bool_]:
        """Predicted classes at the thresholds, (N, C) bool."""
        return decide(self.found.probabilities, self.thresholds, self.found.nomenclature)

    @cached_property
    def tiles(self) -> Tiles | None:
        """Tiles of the patches; None if neither names nor a store tell them."""
        found = tiles_of_names(self.found.keys)
        if found is None and self.store is not None and self.rows is not None:
            index = self.store.index
            return tiles_of_places(*(index.column(name)[self.rows] for name in ("epsg", "ulx", "uly")))
        return found

    @cached_property
    def scores(self) -> Scores:
        """Scores by class, macro and micro, with intervals."""
        found = self.found
        return with_values(
            score(found.probabilities, found.labels, self.thresholds, self.tiles, found.nomenclature), self.evaluated
        )

    @cached_property
    def evaluated(self) -> Metrics | None:
        """Scores that the evaluation wrote beside the predictions; None if there are none of these predictions."""
        return metrics_of(self.record.results.get(self.split), self.found.about, self.found.nomenclature)

    @property
    def threshold_words(self) -> str:
        """Words about the thresholds, for captions."""
        if self.thresholds is None:
            return "at a threshold of 0.5"
        if self.split == "validation":
            return "at thresholds tuned on these very patches, so F1 is too high for others"
        return "at thresholds tuned on the validation split"

    @property
    def interval_words(self) -> str:
        """A sentence about the intervals, for captions."""
        return interval_words(self.tiles)


def interval_words(tiles: Tiles | None) -> str:
    """Return a sentence about intervals of scores, for captions."""
    if tiles is None:
        return "There are no intervals: neither the names of the patches nor a store tell in which tiles they lie."
    if not tiles.are_enough:
        return (
            f"There are no intervals: the patches lie in {tiles.count} {tiles.words}, and fewer than {FEWEST_TILES} "
            "are too few to resample."
        )
    words = (
        f"Intervals hold {percentage(LEVEL)} of {RESAMPLES:,} bootstrap resamples (percentiles, seed {SEED}) in which "
        f"the {tiles.count} {tiles.words} of the patches are drawn with replacement, for neighbouring patches are not "
        f"independent; a class in fewer than {FEWEST_TILES} of them has none."
    )
    if tiles.count < FEW_TILES:
        words += f" Of fewer than {FEW_TILES}, intervals are rather too narrow."
    return words


def thresholds_of(predictions: Predictions) -> Mapping[str, float] | None:
    """Return the thresholds that the file of predictions says, by class name; None if there were none."""
    found: Mapping[str, float] | None = predictions.about.get("thresholds")
    return found


def read_predictions(path: Path) -> Predictions | None:
    """Return the predictions in a file; None if it is absent.

    Raises:
        BadPredictions: it is damaged, holds no patch or a patch twice, or its thresholds are none.
    """
    if not path.exists() and not path.is_symlink():
        return None
    found = Predictions.read(path)
    if not found.keys:
        raise BadPredictions(f"{path} holds no patch; evaluate the run again to write it")
    if len(set(found.keys)) < len(found.keys):
        raise BadPredictions(f"{path} holds a patch twice; evaluate the run again to write it")
    thresholds: Any = found.about.get("thresholds")
    names = found.nomenclature.names
    if thresholds is not None and not (
        isinstance(thresholds, dict)
        and set(thresholds) == set(names)
        and all(type(value) in (int, float) and 0 <= value <= 1 for value in thresholds.values())
    ):
        raise BadPredictions(f"{path} has thresholds that are no probabilities of the {len(names)} classes")
    return found


@contextmanager
def open_run(
    folder: Path, split: str | None = None, store: Path | None = None, *, given: str = ""
) -> Iterator[RunContents]:
    """Read a run, and open its store while the block runs.

    Args:
        folder: of the run.
        split: whose predictions are reported; default: the first of `PREFERRED` that has some.
        store: folder of the store; default: that which the run's configuration names.
        given: see `RunContents`.

    Raises:
        TrainError: a file of the run is damaged.
        CorruptShard: a file of the store is damaged.
        PipelineError: the store that was named is absent, or not that of the predictions.
        OSError: a file cannot be read.
    """
    contents = replace(read_run(folder, split), given=given)
    if store is not None:
        contents = replace(contents, shards=f"--shards {shlex.quote(str(store))}")
    if contents.predictions is None:
        yield contents
        return
    written = contents.record.config.data.shards
    place = store or find_store(written, folder)
    remedy = f"bep report {shlex.quote(contents.place)} --shards DIR"
    if place is None:
        places = " or ".join(map(str, places_of(written, folder)))
        words = f"The store {places} is absent, and so is what needs it. If it was moved: {remedy}."
        yield replace(contents, no_store=words)
        return
    if not storage_of(place).has(MANIFEST):
        raise PipelineError(f"{store} is no folder of a store: it has no {MANIFEST}; expected that of {folder}")
    with shards.open(place) as opened:
        rows, lost = _rows(opened, contents.predictions)
        if lost and store is not None:
            raise PipelineError(f"{store} is not the store of {folder}: {lost}")
        if lost:
            yield replace(
                contents, no_store=f"The store {place} is not that of the predictions: {lost}. To name it: {remedy}."
            )
        else:
            yield replace(contents, store=opened, rows=rows)


def read_run(folder: Path, split: str | None = None) -> RunContents:
    """Return a run without its store; see `open_run`."""
    record = RunRecord.read(folder)
    named = "" if find_store(record.config.data.shards, folder) else "--shards DIR"
    wanted = PREFERRED if split is None else (split,)
    assert set(wanted) <= set(SPLITS)
    for each in wanted:
        predictions = read_predictions(folder / split_predictions(each))
        if predictions is not None:
            validation = None if each == "validation" else read_predictions(folder / split_predictions("validation"))
            if validation is not None and validation.about.get("epoch") != predictions.about.get("epoch"):
                validation = None
            return RunContents(record, each, predictions, validation, shards=named)
    return RunContents(record, split or preferred_split([record]), None, shards=named)


def preferred_split(records: Sequence[RunRecord]) -> str:
    """Return the split to evaluate: test, unless the runs say that their stores have none, and others."""
    counts = [record.description.get("patches") for record in records]
    has = [each for each in PREFERRED if any(isinstance(count, dict) and each in count for count in counts)]
    return has[0] if has else PREFERRED[0]


def _rows(store: Store, predictions: Predictions) -> tuple[NDArray[np.int64], str]:
    """Return the rows of the patches in the index of a store, and why it is not their store; empty if it is."""
    found = pc.index_in(pa.array(predictions.keys, pa.string()), store.index.table["key"].combine_chunks())
    rows = found.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    if absent := int((rows < 0).sum()):
        return rows, f"it lacks {patches(absent)} of {len(rows):,}"
    nomenclature = predictions.nomenclature
    if not store.index.has(nomenclature):
        return rows, f"it has no labels of {len(nomenclature)} classes"
    measured = np.array([name not in predictions.ignored for name in nomenclature.names])
    if other := int((store.index.labels(nomenclature)[rows] != predictions.labels)[:, measured].any(axis=1).sum()):
        return rows, f"{patches(other)} of {len(rows):,} have other labels there"
    return rows, ""
