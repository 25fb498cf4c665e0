"""The best, the worst and the most uncertain patches, with pictures, labels and probabilities."""

from typing import Final

import numpy as np

from bigearth_pipeline.pictures.compose import COMPOSITIONS, MISSING_WORD, Stretch
from bigearth_pipeline.pictures.png import patch_png
from bigearth_pipeline.progress import Phases
from bigearth_pipeline.report.page.blocks import Group, Picture, Section, Sheet, Text
from bigearth_pipeline.report.run.contents import RunContents
from bigearth_pipeline.report.scores.examples import doubts, first_of_each, losses
from shards.layout.statistics import NODATA
from shards.text.words import patches

PER_STEP: Final = 3
"""Patches of each kind that are shown for each of `samples`."""
_LOW, _HIGH = "1", "99"
"""Percentiles of the stretch."""


def examples(contents: RunContents, samples: int, phases: Phases) -> Section:
    """Return the section; without a store it says what is missing, and with 0 `samples` it reads no shard.

    Raises:
        CorruptShard: a record is damaged.
    """
    title = "The best, the worst and the most uncertain patches"
    if contents.store is None:
        return Section("examples", title, (Text(contents.no_store),))
    if not samples:
        return Section("examples", title, (Text("Pictures were left out on request."),))
    return Section("examples", title, (_sheet(contents, samples * PER_STEP, phases),))


def _sheet(contents: RunContents, number: int, phases: Phases) -> Sheet:
    assert contents.store is not None
    found = contents.found
    loss, doubt = losses(found.probabilities, found.labels), doubts(found.probabilities)
    statistics = contents.store.manifest.splits
    split = "train" if "train" in statistics else next(iter(statistics))
    stretch = Stretch.of_statistics(statistics[split].statistics, _LOW, _HIGH)
    kinds = (
        ("Best: the lowest loss", np.argsort(loss, kind="stable")),
        ("Worst: the highest loss", np.argsort(-loss, kind="stable")),
        ("Most uncertain: the highest entropy", np.argsort(-doubt, kind="stable")),
    )
    chosen = [(title, first_of_each(order, found.labels, number)) for title, order in kinds]
    phases.begin("pictures", sum(len(numbers) for _, numbers in chosen), "patch", "patches")
    groups, shown, missing = [], 0, 0
    for title, numbers in chosen:
        rows = []
        for i in numbers:
            pictures, has_missing = _pictures(contents, i, stretch)
            rows.append((pictures, f"{_note(contents, i)} Loss {loss[i]:.3f}, entropy {doubt[i]:.3f} bit."))
            missing += has_missing
            phases.advance(1)
        groups.append(Group(title, rows))
        shown += len(rows)
    caption = (
        f"{patches(shown)}, each kind with {number} at most, of different sets of labels. Loss is the mean cross "
        f"entropy over the {len(contents.classes)} classes, entropy the mean of their probabilities. From left to "
        f"right: {'; '.join(composition.words for composition in COMPOSITIONS)}; stretched as in the report of the "
        f"store, between percentiles {_LOW} and {_HIGH} of {split}. Classes are predicted {contents.threshold_words}."
    )
    caption += f" {patches(missing)} of these have missing pixels, shown in {MISSING_WORD}." if missing else ""
    return Sheet("examples-sheet", caption, groups)


def _pictures(contents: RunContents, i: int, stretch: Stretch) -> tuple[list[Picture], bool]:
    """Return the pictures of a patch, and whether it has missing pixels."""
    assert contents.store is not None
    assert contents.rows is not None
    patch = contents.store.read(int(contents.rows[i]), groups=())
    pictures = [
        Picture(patch_png(patch.s2, composition, stretch), f"{patch.key} in {composition.words}")
        for composition in COMPOSITIONS
    ]
    return pictures, bool((patch.s2 == NODATA).any())


def _note(contents: RunContents, i: int) -> str:
    """Return the labels and the other predicted classes of a patch with their probabilities."""
    found, predicted = contents.found, contents.predicted[i]
    has = found.labels[i] > 0

    def named(chosen: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> str:
        order = sorted(np.flatnonzero(chosen).tolist(), key=lambda j: -found.probabilities[i, j])
        return "; ".join(f"{contents.short_classes[j]} {100 * float(found.probabilities[i, j]):.0f} %" for j in order)

    parts = [
        ("Found", has & predicted),
        ("Missed", has & ~predicted),
        ("Predicted without being there", predicted & ~has),
    ]
    words = [f"{name}: {named(chosen)}." for name, chosen in parts if chosen.any()]
    return " ".join([f"{found.keys[i]}.", *(words or ["No class, and none predicted."])])
