"""The tables that come with BigEarthNet: v2's Parquet metadata, v1's split and exclusion lists."""

import hashlib
import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.source.table_columns import FLAG, TEXT, TEXTS, read_columns
from bigearth_pipeline.source.tree import Version, is_named_as
from shards.layout.classes import CLASSES
from shards.runtime.arrow import numpy_values, text_array
from shards.storage.safe_open import open_regular
from shards.text.name_list import BadNameList, no_match, read_names

METADATA_NAMES: Final = ("metadata.parquet", "metadata_for_patches_with_snow_cloud_or_shadow.parquet")
SPLIT_NAMES: Final = {"train": "train", "val": "validation", "validation": "validation", "test": "test"}
SNOW_STEM: Final = "patches_with_seasonal_snow"
CLOUD_STEM: Final = "patches_with_cloud_and_shadow"

LIST_SUFFIXES: Final = (".csv", ".csv.bz2", ".csv.gz")
_LISTS: Final = SPLIT_NAMES | {SNOW_STEM: SNOW_STEM, CLOUD_STEM: CLOUD_STEM}  # What a list holds, by its stem.
_LIST_NAME: Final = re.compile(rf"({'|'.join(_LISTS)})(\..*)?", re.IGNORECASE | re.DOTALL)
_COLUMNS: Final[Mapping[str, pa.DataType]] = {
    "patch_id": TEXT,
    "labels": TEXTS,
    "split": TEXT,
    "country": TEXT,
    "contains_seasonal_snow": FLAG,
    "contains_cloud_or_shadow": FLAG,
    "s2v1_name": TEXT,
}
_OPTIONAL: Final = frozenset({"s2v1_name"})


@dataclass(frozen=True, slots=True)
class Metadata:
    """The rows of one or several v2 tables.

    Attributes:
        row_of: row number by patch name.
        label_masks: (rows,) uint32, 19-class label masks.
        unknown_labels: by row number, a label that is not in the nomenclature; None for a row without labels (null).
        splits: split by row; None for a patch without one.
        countries: country by row.
        snow: (rows,) bool; False where the table does not tell.
        cloud: (rows,) bool, likewise.
        snow_known: (rows,) bool, where the table tells of snow.
        cloud_known: (rows,) bool, likewise.
        country_of_v1: country by the name that a patch has in v1.
    """

    row_of: dict[str, int]
    label_masks: NDArray[np.uint32]
    unknown_labels: dict[int, str | None]
    splits: list[str | None]
    countries: list[str | None]
    snow: NDArray[np.bool_]
    cloud: NDArray[np.bool_]
    snow_known: NDArray[np.bool_]
    cloud_known: NDArray[np.bool_]
    country_of_v1: dict[str, str]


def find_metadata(places: Iterable[Path]) -> list[Path]:
    """Return the v2 tables in the first of the places that has any."""
    for place in places:
        found = [place / name for name in METADATA_NAMES if (place / name).is_file()]
        if found:
            return found
    return []


def read_metadata(paths: Iterable[Path]) -> Metadata:
    """Read v2 tables and concatenate them in the order given.

    Raises:
        PipelineError: a table is missing, unreadable, lacks a column, repeats a patch or names an unknown split.
    """
    given = list(paths)
    resolved = [path.resolve() for path in given]
    if twice := next((path for path in given if resolved.count(path.resolve()) > 1), None):
        raise PipelineError(f"metadata {twice} is named twice, expected different tables")
    read = [read_columns(path, _COLUMNS, _OPTIONAL) for path in given]
    table = {name: pa.concat_arrays([columns[name] for columns in read]) for name in _COLUMNS}
    keys: list[str | None] = table["patch_id"].to_pylist()
    if table["patch_id"].null_count:
        raise PipelineError(f"metadata has no patch_id in row {keys.index(None) + 1:,}, expected a patch name in each")
    row_of = {key: row for row, key in enumerate(keys) if key is not None}
    if len(row_of) != len(keys):
        twice_named = next(key for row, key in enumerate(keys) if key is not None and row_of[key] != row)
        raise PipelineError(f"metadata has two rows for patch {twice_named}")
    splits: list[str | None] = []
    for split in table["split"].to_pylist():
        if split is not None and split not in SPLIT_NAMES:
            raise PipelineError(f"metadata has split {split!r}, expected train, validation or test")
        splits.append(split and SPLIT_NAMES[split])
    masks, unknown = _label_masks(table["labels"])
    countries: list[str | None] = table["country"].to_pylist()
    v1_names = table["s2v1_name"].to_pylist()
    snow, cloud = table["contains_seasonal_snow"], table["contains_cloud_or_shadow"]
    return Metadata(
        row_of=row_of,
        label_masks=masks,
        unknown_labels=unknown,
        splits=splits,
        countries=countries,
        snow=numpy_values(snow, null=False),
        cloud=numpy_values(cloud, null=False),
        snow_known=numpy_values(snow.is_valid()),
        cloud_known=numpy_values(cloud.is_valid()),
        country_of_v1={name: country for name, country in zip(v1_names, countries, strict=True) if name and country},
    )


def _label_masks(labels: Any) -> tuple[NDArray[np.uint32], dict[int, str | None]]:
    """Return masks of a list column, and per row with a label outside the nomenclature that label; None if null."""
    row = numpy_values(pc.list_parent_indices(labels))
    names = pc.list_flatten(labels)
    codes = numpy_values(pc.index_in(names, text_array(CLASSES)), null=-1)
    masks = np.zeros(len(labels), np.uint32)
    known = codes >= 0
    np.bitwise_or.at(masks, row[known], np.uint32(1) << codes[known].astype(np.uint32))
    unknown: dict[int, str | None] = {int(row[i]): names[int(i)].as_py() for i in np.flatnonzero(~known)}
    if labels.null_count:
        unknown |= dict.fromkeys(np.flatnonzero(numpy_values(labels.is_null())).tolist())
    return masks, unknown


@dataclass(frozen=True, slots=True)
class SplitLists:
    """Lists of patch names: v1's official ones, or splits of one's own.

    Attributes:
        split_of: split by patch name.
        snow: names of patches with seasonal snow; None where there is no list of them.
        cloud: names of patches with clouds or their shadows; None likewise.
        read: the files that were read, and the names in each.
    """

    split_of: dict[str, str]
    snow: frozenset[str] | None
    cloud: frozenset[str] | None
    read: tuple[tuple[Path, Collection[str]], ...]

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that were read."""
        return tuple(path for path, _ in self.read)


def find_split_lists(places: Iterable[Path]) -> Path | None:
    """Return the first of the places that holds a split list."""
    for place in dict.fromkeys(places):
        if _list_files(place).keys() & SPLIT_NAMES.values():
            return place
    return None


def read_split_lists(folder: Path, *, found: bool = False) -> SplitLists:
    """Read train, val and test lists, and the exclusion lists if there are any, from a folder.

    The lists are `<stem>.csv`, `.csv.bz2` or `.csv.gz` (in any case), in any form that `shards.text.name_list` reads.

    Args:
        folder: where they are.
        found: nobody named the folder, so that files with the stem of a list and another ending are none of ours.

    Raises:
        PipelineError: there is no split list, one is unreadable, has an unknown ending or is there twice, or a patch is
            in two splits.
    """
    if not folder.is_dir():
        what = "is no folder" if folder.exists() else "does not exist"
        raise PipelineError(f"splits folder {folder} {what}, expected one with train.csv, val.csv and test.csv")
    split_of: dict[str, str] = {}
    read = []
    files = _list_files(folder, refuse_others=not found)
    for split in dict.fromkeys(SPLIT_NAMES.values()):
        path = _single(files.get(split))
        if path is None:
            continue
        names = _read_list(path)
        read.append((path, names))
        for name in names:
            if split_of.setdefault(name, split) != split:
                raise PipelineError(f"split list {path} has patch {name}, which is also in split {split_of[name]}")
    if not read:
        raise PipelineError(f"splits folder {folder} holds none of train.csv, val.csv, test.csv (plain, .bz2 or .gz)")
    return read_exclusions([folder], SplitLists(split_of, None, None, tuple(read)))


def read_exclusions(places: Sequence[Path], lists: SplitLists | None) -> SplitLists:
    """Return lists with the exclusion lists added that they lack, each from the first of the places that has it.

    Raises:
        PipelineError: one is unreadable, or is there twice.
    """
    lists = lists or SplitLists({}, None, None, ())
    found: list[frozenset[str] | None] = []
    read = list(lists.read)
    files = [_list_files(place) for place in dict.fromkeys(places)]
    for names, stem in ((lists.snow, SNOW_STEM), (lists.cloud, CLOUD_STEM)):
        path = _single(next((those[stem] for those in files if stem in those), None))
        if names is None and path is not None:
            # Unlike a split, a class of flags may well have no patch.
            names = frozenset(_read_list(path, may_be_empty=True))
            read.append((path, names))
        found.append(names)
    return SplitLists(lists.split_of, found[0], found[1], tuple(read))


def refuse_no_match(lists: SplitLists, folders: Mapping[str, str], version: Version) -> None:
    """Refuse lists that name no patch of the source.

    The split lists together name one. A single list may name none where it has names as those of the source, because a
    few patches need not be in each of the official lists. An exclusion list for v2 names one, or nothing: the tables of
    v2 know the flags of all official patches, so that such a list is one of the user's own.

    Args:
        lists: the lists.
        folders: folders of the source by patch name.
        version: of the source.

    Raises:
        PipelineError: a list names none; the message shows names of both sides.
    """
    if not folders:
        return
    for path, names in lists.read:
        if not names or any(name in folders for name in names):
            continue
        own = version == "v2" and (names is lists.snow or names is lists.cloud)
        if own or not any(is_named_as(version, name) for name in names):
            # In an order that is the same in every process: some lists are sets.
            raise PipelineError(f"list {path}: {no_match(sorted(names), folders, 'the source')}")
    if lists.split_of and not any(name in folders for name in lists.split_of):
        where = ", ".join(str(path) for path in lists.paths[:3])
        raise PipelineError(f"split lists {where}: {no_match(lists.split_of, folders, 'the source')}")


def _list_files(folder: Path, *, refuse_others: bool = False) -> dict[str, list[Path]]:
    """Return the files of lists in a folder, by what they hold: a split, or the stem of an exclusion list.

    Raises:
        PipelineError: others are refused, and a file is named as a list up to its ending.
    """
    try:
        names = sorted(os.listdir(folder))
    except PermissionError:  # A folder above the source may be one that only lets through.
        names = [name for stem in _LISTS for suffix in LIST_SUFFIXES if (folder / (name := stem + suffix)).exists()]
    files: dict[str, list[Path]] = {}
    for name in names:
        match = _LIST_NAME.fullmatch(name)
        if match is None:
            continue
        path = folder / name
        if (match[2] or "").lower() in LIST_SUFFIXES:
            files.setdefault(_LISTS[match[1].lower()], []).append(path)
        elif refuse_others and not path.is_dir():
            raise PipelineError(
                f"list {path} is not read, for its ending: expected {', '.join(LIST_SUFFIXES)}; rename it"
            )
    return files


def _single(paths: Sequence[Path] | None) -> Path | None:
    """Return the file of a list.

    Raises:
        PipelineError: there are two.
    """
    if paths is not None and len(paths) > 1:
        raise PipelineError(f"{paths[0]} and {paths[1]} are the same list in two forms, expected one of them")
    return paths[0] if paths else None


def _read_list(path: Path, *, may_be_empty: bool = False) -> list[str]:
    try:
        return read_names(path, may_be_empty=may_be_empty)
    except BadNameList as err:
        raise PipelineError(f"split list {path} {err}") from err


def sha256_of(paths: Iterable[Path]) -> dict[str, str]:
    """Return the SHA-256 of files by their resolved paths."""
    digests = {}
    for path in paths:
        with open(open_regular(path), "rb") as file:
            digests[str(path.resolve())] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests
