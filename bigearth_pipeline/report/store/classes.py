"""Labels: patches by class and split beside the published counts, and labels a patch."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.report.figure.bars import lying_bars, standing_bars
from bigearth_pipeline.report.page.blocks import Block, Cell, Drawing, Figure, Section, Table, Text
from bigearth_pipeline.report.page.numbers import count_cell, share, share_cell
from bigearth_pipeline.report.store.contents import SHORT_CLASSES, Contents
from shards import CLASSES
from shards.layout.classes import FORTY_THREE
from shards.metadata.published import published
from shards.text.words import patches


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """Labels of a store.

    Attributes:
        counts: patches by class and split, (19, splits) int64.
        published: the published counts, (19, splits) int64; None for a version without published counts.
        by_number: patches by number of labels and split, (most labels + 1, splits) int64.
    """

    counts: NDArray[np.int64]
    published: NDArray[np.int64] | None
    by_number: NDArray[np.int64]


def count_labels(contents: Contents) -> Labels:
    """Return the labels of a store."""
    splits = range(len(contents.splits))
    counts = np.stack([contents.labels[contents.split == s].sum(axis=0, dtype=np.int64) for s in splits], axis=1)
    known = published(contents.manifest.source_version).class_counts
    beside = np.array([[known[name][split] for split in contents.splits] for name in CLASSES]) if known else None
    number = contents.labels.sum(axis=1, dtype=np.int64)
    return Labels(counts, beside, contents.by_split(number, int(number.max()) + 1))


def classes(contents: Contents) -> Section:
    """Return the section."""
    labels = count_labels(contents)
    blocks: list[Block] = [_bars(contents, labels), _numbers(contents, labels), _table(contents, labels)]
    if labels.published is None:
        version = contents.manifest.source_version
        blocks.append(Text(f"No counts of the 19 classes by split are published for {version}."))
    if contents.manifest.classes43:
        blocks.append(_table43(contents))
    return Section("classes", "Labels", blocks)


def _bars(contents: Contents, labels: Labels) -> Figure:
    totals = np.array([contents.manifest.splits[split].count for split in contents.splits])
    all_counts = labels.counts.sum(axis=1)
    order = np.argsort(-all_counts, kind="stable")
    shares = 100 * labels.counts / totals
    series = {split: shares[order, s].tolist() for s, split in enumerate(contents.splits)}
    drawing = lying_bars(
        "classes-bars", "Share of patches that have each class", [SHORT_CLASSES[i] for i in order], series,
        "patches of the split that have the class, %", colours=contents.colours,
    )  # fmt: skip
    present = [i for i in order if all_counts[i]]
    if not present:
        return Figure("classes-figure", f"None of {patches(len(contents))} has a class.", (Drawing(drawing),))
    first, rarest, absent = present[0], present[-1], len(CLASSES) - len(present)
    text = (
        f"{CLASSES[first]} is the most frequent class, with {patches(int(all_counts[first]))} "
        f"({share(all_counts[first], len(contents))} of all)"
    )
    if rarest != first:
        text += (
            f"; {CLASSES[rarest]} is the rarest that occurs, with {patches(int(all_counts[rarest]))} "
            f"({share(all_counts[rarest], len(contents))})"
        )
    missing = f"{absent} of the 19 classes {'does' if absent == 1 else 'do'} not occur"
    text += f". {missing if absent else 'All 19 classes occur'}."
    return Figure("classes-figure", text, (Drawing(drawing),))


def _table(contents: Contents, labels: Labels) -> Table:
    beside = labels.published
    columns, total = ["class"], [Cell("patches")]
    known = published(contents.manifest.source_version)
    for split in contents.splits:
        columns += [split] if beside is None else [split, f"{split}, published"]
        total += [count_cell(contents.manifest.splits[split].count)]
        total += [] if beside is None else [count_cell(known.patches[split])]
    columns += ["all", "share"]
    total += [count_cell(len(contents)), share_cell(len(contents), len(contents))]
    rows = []
    for i, name in enumerate(CLASSES):
        row = [Cell(name)]
        for s in range(len(contents.splits)):
            row.append(count_cell(int(labels.counts[i, s])))
            row += [] if beside is None else [count_cell(int(beside[i, s]))]
        count = int(labels.counts[i].sum())
        rows.append([*row, count_cell(count), share_cell(count, len(contents))])
    if beside is None:
        words = "Patches by class and split."
    else:
        same = int((labels.counts == beside).sum())
        words = (
            f"Patches by class and split, beside the published counts: {same} of {beside.size} are equal. "
            f"Source: {known.counts_source}."
        )
    return Table("classes-table", words, columns, rows, total)


def _table43(contents: Contents) -> Table:
    """Return the patches by class of BigEarthNet v1, of which no counts by split are published."""
    labels = contents.store.index.labels(FORTY_THREE)
    counts = np.stack([labels[contents.split == s].sum(0, dtype=np.int64) for s in range(len(contents.splits))], 1)
    rows = [
        [Cell(name), *map(count_cell, of_class.tolist()), count_cell(total), share_cell(total, len(contents))]
        for name, of_class, total in zip(FORTY_THREE.names, counts, counts.sum(1).tolist(), strict=True)
    ]
    patches_of = [count_cell(contents.manifest.splits[split].count) for split in contents.splits]
    total = [Cell("patches"), *patches_of, count_cell(len(contents)), share_cell(len(contents), len(contents))]
    words = f"Patches by class of BigEarthNet v1 and split: {int(labels.any(0).sum())} of its 43 classes occur."
    return Table("classes43-table", words, ["class", *contents.splits, "all", "share"], rows, total)


def _numbers(contents: Contents, labels: Labels) -> Figure:
    by_number, total = labels.by_number, labels.by_number.sum(axis=1)
    series = {split: by_number[:, s].tolist() for s, split in enumerate(contents.splits)}
    drawing = standing_bars(
        "labels-a-patch", "Patches by number of labels", [str(n) for n in range(len(by_number))], series, "patches",
        "labels", colours=contents.colours,
    )  # fmt: skip
    mean = float((total * np.arange(len(total))).sum() / total.sum())
    most = int(total.argmax())
    caption = (
        f"A patch has {mean:.2f} labels on average and {len(total) - 1} at most; {most} is the most frequent number, "
        f"of {patches(int(total[most]))} ({share(total[most], total.sum())}). {patches(int(total[0]))} "
        f"{'has' if total[0] == 1 else 'have'} none."
    )
    return Figure("labels-figure", caption, (Drawing(drawing),))
