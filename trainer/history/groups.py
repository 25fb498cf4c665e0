"""Runs by what their scores are of: those of one group compare, those of two do not."""

from collections.abc import Sequence
from typing import Any

from trainer.history.record import RunRecord
from trainer.runs.scored import SCORED


def grouped(records: Sequence[RunRecord]) -> list[list[RunRecord]]:
    """Return runs by `RunRecord.scored_on`, each group and its runs in their order."""
    groups: dict[str, list[RunRecord]] = {}
    for record in records:
        groups.setdefault(record.scored_on, []).append(record)
    return list(groups.values())


def letters_of(number: int) -> str:
    """Return the letters of a group, counted from 0, as of the columns of a spreadsheet: A to Z, then AA, AB, …."""
    before, last = divmod(number, 26)
    return (letters_of(before - 1) if before else "") + chr(ord("A") + last)


def scored_words(record: RunRecord) -> str:
    """Return the patches, the store and the classes that the scores of a run are of."""
    data = record.config.data
    counts: Any = record.description.get("patches")
    parts = []
    for split in ("validation", "test"):
        count = counts.get(split) if isinstance(counts, dict) else None
        if type(count) is int:
            parts.append(f"{count:,} {split}")
    patches = f"{' and '.join(parts)} patches of {data.shards}" if parts else f"patches of {data.shards}"
    if data.patches is not None:
        patches += f" in the list {data.patches}"
    if data.where is not None:
        patches += f" where {data.where}"
    ignored = f" without {'; '.join(data.ignore_labels)}" if data.ignore_labels else ""
    old = "" if SCORED in record.description else " (of an earlier version, whose runs do not say which patches)"
    return f"{patches}; {data.classes} classes{ignored}{old}"
