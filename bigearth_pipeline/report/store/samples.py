"""Pictures: patches of each class in three compositions, and all twelve bands of one patch."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.pictures.compose import COMPOSITIONS, MISSING_WORD, Stretch, band_of
from bigearth_pipeline.pictures.png import patch_png, png
from bigearth_pipeline.progress import Phases, Silent
from bigearth_pipeline.report.page.blocks import Figure, Group, Picture, Section, Sheet, Text
from bigearth_pipeline.report.store.bands import IN_ORDER, band_words
from bigearth_pipeline.report.store.contents import Contents, shown_classes
from shards import CLASSES, Patch
from shards.layout.statistics import NODATA
from shards.text.words import patches

_LOW, _HIGH = "1", "99"
"""Percentiles of the stretch."""
_BAND_LOW: Final = 2
_BAND_HIGH: Final = 98
"""Percentiles of the stretch of a single band of one patch."""


def usable(contents: Contents) -> NDArray[np.bool_]:
    """Return which patches are fit to be shown, (patches,) bool: no missing pixels, snow, clouds or shadows."""
    return ~(contents.has_missing() | contents.is_true("seasonal_snow") | contents.is_true("cloud_or_shadow"))


def choose(labels: NDArray[np.uint8], fit: NDArray[np.bool_], per_class: int) -> list[list[int]]:
    """Return rows of patches for each class: those with fewest labels, the first in the store among equals.

    Rare classes choose first, and no patch is chosen twice as long as there are others; fit patches come before others.

    Args:
        labels: multi-hot, (patches, 19) uint8.
        fit: which are fit to be shown, (patches,) bool.
        per_class: largest number of patches for a class.
    """
    number = labels.sum(axis=1)
    used: set[int] = set()
    chosen: list[list[int]] = [[] for _ in range(labels.shape[1])]
    for i in np.argsort(labels.sum(axis=0), kind="stable").tolist():
        rows = np.flatnonzero(labels[:, i])
        # More than all others can have used are enough.
        rows = rows[np.lexsort((rows, number[rows], ~fit[rows]))[: per_class * (labels.shape[1] + 1)]].tolist()
        fresh = [row for row in rows if row not in used]
        chosen[i] = (fresh + [row for row in rows if row in used])[:per_class]
        used.update(chosen[i])
    return chosen


def samples(contents: Contents, per_class: int, phases: Phases | None = None) -> Section:
    """Return the section; without patches a class it says so, and reads no shard.

    Raises:
        CorruptShard: a record is damaged.
    """
    title = "What the patches look like"
    if not per_class:
        return Section("samples", title, (Text("Pictures were left out on request."),))
    fit = usable(contents)
    split = contents.splits[0]
    stretch = Stretch.of_statistics(contents.manifest.splits[split].statistics, _LOW, _HIGH)
    sheet = _sheet(contents, choose(contents.labels, fit, per_class), stretch, split, phases or Silent())
    return Section("samples", title, (sheet, _bands(contents, fit)))


def _sheet(contents: Contents, chosen: list[list[int]], stretch: Stretch, split: str, phases: Phases) -> Sheet:
    phases.begin("pictures", sum(map(len, chosen)), "patch", "patches")
    read: dict[int, Patch] = {row: contents.store.read(row, groups=()) for rows in chosen for row in rows}
    counts = contents.labels.sum(axis=0, dtype=np.int64)
    groups = [
        Group(f"{name} ({patches(int(count))})", [_strip(contents, read[row], row, stretch, phases) for row in rows])
        for name, count, rows in zip(CLASSES, counts, chosen, strict=True)
        if rows
    ]
    absent = [name for name, rows in zip(CLASSES, chosen, strict=True) if not rows]
    shown = sorted({band for composition in COMPOSITIONS for band in composition.bands}, key=IN_ORDER.index)
    missing = sum(bool((patch.s2 == NODATA).any()) for patch in read.values())
    caption = (
        f"{patches(len(read))} of {len(groups)} classes, for each class those with fewest labels. From left to right: "
        f"{'; '.join(composition.words for composition in COMPOSITIONS)}. Each band is stretched between its "
        f"percentiles {_LOW} and {_HIGH} in {split}, the same in all pictures ({stretch.words(shown)}), with exponent "
        f"{stretch.gamma:g}; bands of 20 m are brought to 10 m by repetition."
    )
    caption += f" No patch has: {'; '.join(absent)}." if absent else ""
    caption += f" {patches(missing)} of these have missing pixels, shown in {MISSING_WORD}." if missing else ""
    return Sheet("samples-sheet", caption, groups)


def _strip(
    contents: Contents, patch: Patch, row: int, stretch: Stretch, phases: Phases
) -> tuple[Sequence[Picture], str]:
    pictures = [
        Picture(patch_png(patch.s2, composition, stretch), f"{patch.key} in {composition.words}")
        for composition in COMPOSITIONS
    ]
    phases.advance(1)
    return pictures, f"{patch.key}: {shown_classes(contents.labels[row])}"


def _bands(contents: Contents, fit: NDArray[np.bool_]) -> Figure:
    number = contents.labels.sum(axis=1) + 100 * fit.astype(np.int64)
    row = int(number.argmax())
    patch = contents.store.read(row, groups=())
    panels = []
    for band in IN_ORDER:
        values = band_of(patch.s2, band)
        low, high = np.percentile(values, (_BAND_LOW, _BAND_HIGH)).tolist()
        grey = Stretch({band: (low, high)}, gamma=1).bright(values, band)
        label = f"{band_words(band)}: {low:,.0f}–{high:,.0f}"
        panels.append(Picture(png(grey), f"{patch.key}, band {band}", label))
    country = patch.country or "country unknown"
    caption = (
        f"All twelve bands of {patch.key} ({country}, {patch.date:%Y-%m-%d}, {shown_classes(contents.labels[row])}), "
        f"the patch with most labels, each at its own resolution. Below each: the digital numbers shown as black and "
        f"white, percentiles {_BAND_LOW} and {_BAND_HIGH} of the band in this patch."
    )
    return Figure("bands-of-a-patch", caption, panels, "small")
