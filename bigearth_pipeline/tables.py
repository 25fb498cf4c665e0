"""The tables that come with BigEarthNet: v2's Parquet metadata, v1's split and exclusion lists."""

import bz2
import gzip
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bigearth_pipeline.errors import PipelineError
from shards.arrow import numpy_values, text_array
from shards.classes import CLASSES

METADATA_NAMES: Final = ("metadata.parquet", "metadata_for_patches_with_snow_cloud_or_shadow.parquet")
SPLIT_NAMES: Final = {"train": "train", "val": "validation", "validation": "validation", "test": "test"}
SNOW_STEM: Final = "patches_with_seasonal_snow"
CLOUD_STEM: Final = "patches_with_cloud_and_shadow"

_OPENERS: Final = {".csv": open, ".csv.bz2": bz2.open, ".csv.gz": gzip.open}
_COLUMNS: Final = ("patch_id", "labels", "split", "country", "contains_seasonal_snow", "contains_cloud_or_shadow")


@dataclass(frozen=True, slots=True)
class Metadata:
    """The rows of one or several v2 tables.

    Attributes:
        row_of: row number by patch name.
        label_masks: (rows,) uint32, 19-class label masks.
        unknown_labels: by row number, a label that is not in the nomenclature.
        splits: split by row; None for a patch without one.
        countries: country by row.
        snow: (rows,) bool.
        cloud: (rows,) bool.
        country_of_v1: country by the name that a patch has in v1.
    """

    row_of: dict[str, int]
    label_masks: NDArray[np.uint32]
    unknown_labels: dict[int, str]
    splits: list[str | None]
    countries: list[str | None]
    snow: NDArray[np.bool_]
    cloud: NDArray[np.bool_]
    country_of_v1: dict[str, str]


def find_metadata(places: Iterable[Path]) -> list[Path]:
    """Return the v2 tables in the first of the places that has any."""
    for place in places:
        found = [place / name for name in METADATA_NAMES if (place / name).is_file()]
        if found:
            return found
    return []


def read_metadata(paths: Iterable[Path]) -> Metadata:
    """Read v2 tables, one behind the other.

    Raises:
        PipelineError: a table is missing, unreadable, lacks a column, repeats a patch or names an unknown split.
    """
    table = pa.concat_tables([_read_table(path) for path in paths], promote_options="permissive")
    keys: list[str] = table["patch_id"].to_pylist()
    row_of = {key: row for row, key in enumerate(keys)}
    if len(row_of) != len(keys):
        twice = next(key for row, key in enumerate(keys) if row_of[key] != row)
        raise PipelineError(f"metadata has two rows for patch {twice}")
    splits: list[str | None] = []
    for split in table["split"].to_pylist():
        if split is not None and split not in SPLIT_NAMES:
            raise PipelineError(f"metadata has split {split!r}, expected train, validation or test")
        splits.append(split and SPLIT_NAMES[split])
    masks, unknown = _label_masks(table["labels"].combine_chunks())
    countries: list[str | None] = table["country"].to_pylist()
    v1_names = table["s2v1_name"].to_pylist() if "s2v1_name" in table.column_names else []
    return Metadata(
        row_of=row_of,
        label_masks=masks,
        unknown_labels=unknown,
        splits=splits,
        countries=countries,
        snow=_flags(table, "contains_seasonal_snow"),
        cloud=_flags(table, "contains_cloud_or_shadow"),
        country_of_v1={name: country for name, country in zip(v1_names, countries, strict=False) if name and country},
    )


def _read_table(path: Path) -> pa.Table:
    try:
        table = pq.ParquetFile(path).read()
    except FileNotFoundError:
        raise PipelineError(f"metadata {path} does not exist") from None
    except (pa.ArrowException, OSError) as err:
        raise PipelineError(f"metadata {path} is not readable as Parquet: {err}") from err
    missing = [name for name in _COLUMNS if name not in table.column_names]
    if missing:
        raise PipelineError(
            f"metadata {path} lacks the columns {', '.join(missing)}; it has {', '.join(table.column_names)}"
        )
    if not pa.types.is_list(table.schema.field("labels").type) and not pa.types.is_large_list(
        table.schema.field("labels").type
    ):
        raise PipelineError(
            f"metadata {path} has labels of type {table.schema.field('labels').type}, expected a list of names"
        )
    return table


def _flags(table: pa.Table, name: str) -> NDArray[np.bool_]:
    return numpy_values(table[name].combine_chunks().cast(pa.bool_()), null=False)


def _label_masks(labels: Any) -> tuple[NDArray[np.uint32], dict[int, str]]:
    """Return masks of a list column, and per row with a label outside the nomenclature that label."""
    row = numpy_values(pc.list_parent_indices(labels))
    names = pc.list_flatten(labels)
    codes = numpy_values(pc.index_in(names, text_array(CLASSES)), null=-1)
    masks = np.zeros(len(labels), np.uint32)
    known = codes >= 0
    np.bitwise_or.at(masks, row[known], np.uint32(1) << codes[known].astype(np.uint32))
    return masks, {int(row[i]): str(names[int(i)].as_py()) for i in np.flatnonzero(~known)}


@dataclass(frozen=True, slots=True)
class SplitLists:
    """v1's lists of patch names.

    Attributes:
        split_of: split by patch name.
        snow: names of patches with seasonal snow.
        cloud: names of patches with clouds or their shadows.
        paths: files that were read.
    """

    split_of: dict[str, str]
    snow: frozenset[str]
    cloud: frozenset[str]
    paths: tuple[Path, ...]


def find_split_lists(places: Iterable[Path]) -> Path | None:
    """Return the first of the places that holds a split list."""
    for place in places:
        if any(_list_file(place, stem) for stem in SPLIT_NAMES):
            return place
    return None


def read_split_lists(folder: Path) -> SplitLists:
    """Read train, val and test lists, and the exclusion lists if there are any, from a folder.

    The lists are `<stem>.csv`, `.csv.bz2` or `.csv.gz`, one patch name a line (further columns are ignored).

    Raises:
        PipelineError: there is no split list, one is unreadable, or a patch is in two splits.
    """
    split_of: dict[str, str] = {}
    paths = []
    for stem, split in SPLIT_NAMES.items():
        path = _list_file(folder, stem)
        if path is None:
            continue
        paths.append(path)
        for name in _read_names(path):
            if split_of.setdefault(name, split) != split:
                raise PipelineError(f"split list {path} has patch {name}, which is also in split {split_of[name]}")
    if not paths:
        raise PipelineError(f"splits folder {folder} holds none of train.csv, val.csv, test.csv (plain, .bz2 or .gz)")
    excluded = []
    for stem in (SNOW_STEM, CLOUD_STEM):
        path = _list_file(folder, stem)
        excluded.append(frozenset(_read_names(path)) if path else frozenset())
        if path:
            paths.append(path)
    return SplitLists(split_of, excluded[0], excluded[1], tuple(paths))


def _list_file(folder: Path, stem: str) -> Path | None:
    for suffix in _OPENERS:
        path = folder / f"{stem}{suffix}"
        if path.is_file():
            return path
    return None


def _read_names(path: Path) -> Iterator[str]:
    opener: Any = _OPENERS[path.name[path.name.index(".") :]]
    try:
        with opener(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                name = line.partition(",")[0].strip().strip('"')
                if name and name not in ("patch_id", "name"):
                    yield name
    except (OSError, EOFError, UnicodeDecodeError) as err:
        raise PipelineError(f"split list {path} cannot be read: {err}") from err


def sha256_of(paths: Iterable[Path]) -> dict[str, str]:
    """Return the SHA-256 of files by their resolved paths."""
    digests = {}
    for path in paths:
        with open(path, "rb") as file:
            digests[str(path.resolve())] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests
