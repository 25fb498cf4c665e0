"""Checks of the small files of a store: histograms, lists, the note on the build, and the order of the index."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bigearth_pipeline.build.config import NOTE_FIELDS, parse_note
from bigearth_pipeline.build.reports import read_left_out
from bigearth_pipeline.build.select import BAD, NO_FOLDER, NO_ROW
from shards import CorruptShard, Store
from shards.layout.bands import BANDS
from shards.layout.shuffle import shuffle_rank
from shards.layout.statistics import BINS, histogram_counts
from shards.metadata.entries import SPLITS
from shards.metadata.index import cast_table, read_table
from shards.metadata.manifest import BUILD_NOTE, INDEX, MANIFEST
from shards.runtime.arrow import numeric_array, numpy_values
from shards.storage.safe_open import open_inside, read_regular
from shards.text.json_fields import shown
from shards.text.words import patches
from shards.write.contents import QUARANTINE, UNMATCHED

_HISTOGRAMS: Final = pa.schema(
    [
        pa.field("split", pa.string(), nullable=False),
        pa.field("band", pa.string(), nullable=False),
        pa.field("value", pa.uint16(), nullable=False),
        pa.field("count", pa.int64(), nullable=False),
    ]
)
_NOTE_BYTES: Final = 16 << 20


def read_histograms(path: Path, content: bytes | None = None) -> dict[str, NDArray[np.int64]]:
    """Return the (12, 65536) counts of each split in a histogram file, or in its content where that is at hand.

    Raises:
        CorruptShard: it has other columns, types, bands or numbers of rows than histograms have, or a value twice.
    """
    rows = range(len(SPLITS) * len(BANDS) * BINS + 1)
    table = read_table(path, content, rows=rows, columns=_HISTOGRAMS.names)
    table = cast_table(path, table, _HISTOGRAMS)
    bands = set(table["band"].unique().to_pylist())
    if unknown := bands - set(BANDS):
        raise CorruptShard(f"{path} has band {shown(min(unknown))}, expected {', '.join(BANDS)}")
    of_row = np.asarray(table["split"].to_pylist(), object)
    found = {}
    for split in sorted(set(of_row)):
        rows = table.filter(numeric_array(of_row == split, pa.bool_()))
        counts = histogram_counts(rows)
        if (numpy_values(rows["count"]) < 1).any() or np.count_nonzero(counts) != len(rows):
            raise CorruptShard(f"{path} has a value of split {shown(split)} twice, or a count below 1")
        found[split] = counts
    return found


def check_order(store: Store) -> Iterator[str]:
    """Compare the order of patches with the seed, and their keys with each other."""
    keys: list[str] = store.index.table["key"].to_pylist()
    yield from (f"{INDEX}: {key} occurs {count} times" for key, count in Counter(keys).items() if count > 1)
    if BAD in store.manifest.left_out:
        return  # Others took their places.
    for split in store.manifest.splits:
        ranks = [shuffle_rank(keys[row], store.manifest.seed) for row in store.index.rows(split).tolist()]
        if ranks != sorted(ranks):
            yield f"{INDEX}: the patches of split {split} are not in the order of seed {store.manifest.seed}"


def check_build_note(store: Store) -> Iterator[str]:
    """Compare the manifest with the note on the build, if there is one."""
    path = store.folder / BUILD_NOTE
    try:
        open_inside(store.folder, BUILD_NOTE).close()
        note = parse_note(read_regular(path, _NOTE_BYTES))
    except FileNotFoundError:
        return
    except OSError as err:
        yield f"{path} cannot be read: {err.strerror}"
        return
    except (CorruptShard, ValueError) as err:
        yield f"{path} is not the note on a build: {err}"
        return
    manifest = store.manifest
    expected = {
        "version": manifest.source_version,
        "format": manifest.format,
        "codec": manifest.codec,
        "seed": manifest.seed,
        "patches_per_shard": manifest.patches_per_shard,
    }
    if manifest.classes43:
        expected["labels43"] = True
    if not isinstance(note, dict):
        yield f"{path} is not the note on a build: it is {shown(note)}"
        return
    if "sha256" not in note and (unknown := note.keys() - NOTE_FIELDS):
        yield f"{path} has a field {shown(min(unknown))}, which is unknown"
    for name, value in expected.items():
        if note.get(name) != value:
            yield f"{path}: {name} is {shown(note.get(name))}, {MANIFEST} says {shown(value)}"


def check_lists(store: Store) -> Iterator[str]:
    """Compare the lists of patches that the store lacks, where they are, with the manifest and the index."""
    try:
        found = read_left_out(store.folder)
    except CorruptShard as err:
        yield str(err)
        return
    left_out, folder = store.manifest.left_out, store.folder
    if found.quarantine and len(found.quarantine) != left_out.get(BAD, 0):
        yield (
            f"{folder / QUARANTINE} lists {patches(len(found.quarantine))}, "
            f"{MANIFEST} says {left_out.get(BAD, 0):,} × {BAD}"
        )
    counts = found.unmatched_counts()
    if unknown := counts.keys() - {NO_ROW, NO_FOLDER}:
        yield f"{folder / UNMATCHED} has {shown(min(unknown))}, expected {NO_ROW} or {NO_FOLDER}"
    if counts and counts.get(NO_ROW, 0) != left_out.get(NO_ROW, 0):
        yield (
            f"{folder / UNMATCHED} says {counts.get(NO_ROW, 0):,} × {NO_ROW}, "
            f"{MANIFEST} says {left_out.get(NO_ROW, 0):,}"
        )
    keys = set(store.index.table["key"].to_pylist())
    both = sorted(key for _, key in found.unmatched if key in keys)
    yield from (f"{folder / UNMATCHED} lists {shown(key)}, which the store holds" for key in both)
