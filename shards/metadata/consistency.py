"""Check that the manifest and index of a store agree, made when the store is opened; no pixel file is touched."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from shards.codec.registry import get_codec
from shards.errors import CorruptShard
from shards.layout.bands import BAND_SLICES
from shards.layout.classes import CLASSES, FORTY_THREE, masks_of_19
from shards.metadata.index import Index
from shards.metadata.manifest import INDEX, MANIFEST, Manifest

_LINES: Final = 20
"""Of one kind, at most."""
_DATES: Final = np.array(["0001-01-01T00:00:00", "9999-12-31T23:59:59"], "datetime64[s]")


def check_fit(folder: Path, manifest: Manifest, index: Index, *, compare: bool) -> None:
    """Check an index against the manifest.

    Args:
        folder: the store.
        manifest: its manifest.
        index: its index.
        compare: also what `differences` finds.

    Raises:
        CorruptShard: values are out of their range, or manifest and index differ.
    """
    try:
        index.shard_numbers(manifest)
    except CorruptShard as err:
        raise CorruptShard(f"{folder}/{err}") from None
    for problem in _impossible(manifest, index):
        raise CorruptShard(f"{folder}/{problem}")
    for problem in differences(manifest, index) if compare else ():
        raise CorruptShard(f"{folder}: {problem}")


def _impossible(manifest: Manifest, index: Index) -> Iterator[str]:
    """Yield values that no store has, by which memory would be taken or Python's dates would fail."""
    for part in manifest.parts:
        low, high = get_codec(part.codec or manifest.codec).lengths(part.size_bytes)
        lengths = index.column(f"{part.name}_length")
        for row in _first((lengths < low) | (lengths > high)):
            expected = f"{low}" if low == high else f"{low} … {high}"
            yield f"{INDEX}: the {part.name} record of {index.key(row)} holds {lengths[row]} bytes, expected {expected}"
    masks, dates = index.column("label_mask"), index.column("date")
    for row in _first(masks >= 1 << len(CLASSES)):
        yield f"{INDEX}: {index.key(row)} has label mask {masks[row]:#x}, expected bits of {len(CLASSES)} classes"
    if index.has(FORTY_THREE):
        masks = index.column(FORTY_THREE.column)
        for row in _first(masks >= 1 << len(FORTY_THREE)):
            yield f"{INDEX}: {index.key(row)} has labels43 {masks[row]:#x}, expected bits of {len(FORTY_THREE)} classes"
    for row in _first((dates < _DATES[0]) | (dates > _DATES[1])):
        yield f"{INDEX}: {index.key(row)} has date {dates[row]}, expected one of a year of four digits"


def differences(manifest: Manifest, index: Index) -> Iterator[str]:
    """Yield how manifest and index differ, and records that do not lie in their files, a line each."""
    shards = index.shard_numbers(manifest)
    yield from _shards(manifest, index, shards)
    yield from _places(manifest, index, shards)
    yield from _splits(manifest, index, shards)
    if index.has(FORTY_THREE):
        yield from _nomenclatures(index)


def _shards(manifest: Manifest, index: Index, shards: NDArray[np.int32]) -> Iterator[str]:
    counts = np.array([shard.count for shard in manifest.shards], np.int64)
    found = np.bincount(shards, minlength=len(counts))
    positions = index.column("position")
    begin = np.cumsum(found) - found
    in_order = bool((shards[1:] >= shards[:-1]).all())
    expected = np.arange(len(index)) - np.repeat(begin, found)
    if in_order and np.array_equal(found, counts) and np.array_equal(positions, expected):
        return
    by_shard = np.split(np.argsort(shards, kind="stable"), np.cumsum(found)[:-1])
    for shard, rows in zip(manifest.shards, by_shard, strict=True):
        if len(rows) != shard.count:
            yield f"{shard.name}: the index has {len(rows)} rows, the manifest {shard.count}"
        if not np.array_equal(positions[rows], np.arange(len(rows))):
            yield f"{shard.name}: positions in the index are not 0 to {len(rows) - 1} in order"
    if not in_order:
        yield f"{INDEX}: rows are not in the order of the manifest's shards"


def _places(manifest: Manifest, index: Index, shards: NDArray[np.int32]) -> Iterator[str]:
    for part in manifest.parts:
        sizes = np.array([shard.files[part.file].size_bytes for shard in manifest.shards], np.int64)
        offsets, lengths = index.column(f"{part.name}_offset"), index.column(f"{part.name}_length")
        # Neither side can wrap: sizes are not negative, lengths are of int32.
        for row in _first((offsets < 0) | (offsets > sizes[shards] - lengths)):
            file = manifest.shards[shards[row]].files[part.file]
            yield (
                f"{INDEX}: the {part.name} record of {index.key(row)} lies at {offsets[row]} + {lengths[row]}, "
                f"but {file.path} has {file.size_bytes} bytes"
            )


def _splits(manifest: Manifest, index: Index, shards: NDArray[np.int32]) -> Iterator[str]:
    codes, names = index.codes("split")
    code_of = {name: code for code, name in enumerate(names)}
    expected = np.array([code_of.get(shard.split, -1) for shard in manifest.shards], np.int32)[shards]
    strangers = np.flatnonzero(codes != expected)
    for row in strangers[:_LINES].tolist():
        shard = manifest.shards[shards[row]].name
        yield f"{INDEX}: {index.key(row)} of split {names[codes[row]]} lies in shard {shard}"
    if len(strangers) > _LINES:
        yield f"{INDEX}: {len(strangers) - _LINES} more patches lie in shards of other splits"
    for name in sorted(code_of.keys() - manifest.splits.keys()):
        count = int((codes == code_of[name]).sum())
        if count:
            yield f"{MANIFEST}: split {name} is missing, the index has {count} patches of it"
    masks: NDArray[Any] = index.column("label_mask")
    for name, info in manifest.splits.items():
        rows = index.rows(name)
        if len(rows) != info.count:
            yield f"{MANIFEST}: split {name} has {info.count} patches, the index {len(rows)}"
        counted = {label: int((masks[rows] >> i & 1).sum()) for i, label in enumerate(CLASSES)}
        if counted != info.class_counts:
            yield f"{MANIFEST}: the class counts of split {name} are not those of the index"
        for band, place in BAND_SLICES.items():
            pixels = len(rows) * (place.stop - place.start)
            if info.statistics[band].count != pixels:
                yield f"{MANIFEST}: the statistics of {band} in split {name} are not those of {pixels} pixels"


def _nomenclatures(index: Index) -> Iterator[str]:
    masks, expected = index.column("label_mask"), masks_of_19(index.column(FORTY_THREE.column))
    wrong = np.flatnonzero(masks != expected)
    for row in wrong[:_LINES].tolist():
        yield (
            f"{INDEX}: {index.key(row)} has label mask {masks[row]:#x}, expected {expected[row]:#x}, which follows "
            "from its labels43"
        )
    if len(wrong) > _LINES:
        yield f"{INDEX}: {len(wrong) - _LINES} more patches have label masks that do not follow from their labels43"


def _first(wrong: NDArray[np.bool_]) -> list[int]:
    """Return the first row that is wrong, if there is one."""
    found = int(wrong.argmax()) if wrong.size else 0
    return [found] if wrong.size and wrong[found] else []
