"""The files that a store consists of during its build and after: everything else in its folder is somebody else's."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from shards.container.tar import shard_paths as tar_paths
from shards.layout.bands import LAYOUT
from shards.layout.record import RecordLayout
from shards.metadata.entries import SPLITS
from shards.metadata.manifest import BUILD_NOTE, HISTOGRAMS, INDEX, MANIFEST, StoreFormat
from shards.metadata.parts import parts_of
from shards.storage.atomic import temporary_of
from shards.storage.lock import MARK_SUFFIX

WORK: Final = ".build"
LOCK: Final = "lock"
QUARANTINE: Final = "quarantine.jsonl"
UNMATCHED: Final = "unmatched.csv"
UNMATCHED_PRODUCTS: Final = "unmatched-products.csv"
LISTS: Final = (QUARANTINE, UNMATCHED, UNMATCHED_PRODUCTS)
"""Lists of patches that a store lacks; each is there only if it has rows."""
LOCKS: Final = (f"{WORK}/{LOCK}", f"{WORK}/{LOCK}{MARK_SUFFIX}")

_FIXED: Final = {MANIFEST, BUILD_NOTE, INDEX, HISTOGRAMS, *LISTS, *LOCKS}
_SPLIT: Final = f"(?:{'|'.join(SPLITS)})"
_SHARD: Final = rf"{_SPLIT}-\d{{5,}}"
_NOTES: Final = re.compile(rf"{re.escape(WORK)}/({_SHARD})\.(?:json|tags\.json|index\.parquet|histogram\.parquet)")
# The temporary names of zarr-python, `_atomic_write` in zarr/storage/_local.py.
_ZARR_TEMPORARY: Final = re.compile(r"(zarr|0)\.[0-9a-f]{32}\.partial")


@dataclass(slots=True)
class Contents:
    """Contents of the folder of a store; paths are relative to it.

    Attributes:
        files: files of the store.
        notes: names of the shards that have files in the work folder.
        shards: of these, files of shards.
        temporaries: files of the store that are not finished.
        folders: folders of the store, each after those that hold it.
        misplaced: what has the name of a file or folder of the store and is something else, such as a symbolic link.
        strangers: everything else. Folders among them are not searched.
    """

    files: list[str] = field(default_factory=list)
    notes: set[str] = field(default_factory=set)
    shards: list[str] = field(default_factory=list)
    temporaries: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    misplaced: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)


def shard_name(split: str, number: int) -> str:
    """Return the name of a shard, such as `train-00007`."""
    return f"{split}-{number:05d}"


def shard_paths(store_format: StoreFormat, split: str, number: int, layout: RecordLayout = LAYOUT) -> tuple[str, ...]:
    """Return the paths of the files of a shard of a store of that layout, in the order of the manifest."""
    if store_format == "webdataset":
        return tar_paths(split, number)
    # Imported here: the import of zarr takes most of a second.
    from shards.container.zarr import shard_path

    return tuple(shard_path(split, part.name, number) for part in parts_of("zarr", layout))


def note_paths(work: Path, shard: str) -> tuple[Path, Path, Path]:
    """Return the paths of what the last step needs of a shard: its note, its rows of the index, its histogram."""
    return work / f"{shard}.json", work / f"{shard}.index.parquet", work / f"{shard}.histogram.parquet"


def look(out: Path, store_format: str | None, max_shards: int = 0, layout: RecordLayout = LAYOUT) -> Contents:
    """Sort what lies in the folder of a store by whether a build has made it.

    Args:
        out: the folder; it may be absent.
        store_format: of the build that the note there describes; None if there is no note.
        max_shards: shards that a split of that build has at most.
        layout: groups of its patches.
    """
    contents = Contents()
    names = _Names(store_format, max_shards, layout)
    for relative, kind in _walk(out, names):
        whole = names.without_temporary(relative)
        is_ours = names.is_file(whole) or (whole != relative and names.is_shard_of_any(whole))
        if not names.is_folder(relative) and not is_ours:
            contents.strangers.append(relative)
        elif kind != ("folder" if names.is_folder(relative) else "file"):
            contents.misplaced.append(relative)
        elif kind == "folder":
            contents.folders.append(relative)
        elif whole != relative:
            contents.temporaries.append(relative)
        else:
            contents.files.append(relative)
            if names.is_shard(relative):
                contents.shards.append(relative)
            if note := _NOTES.fullmatch(relative):
                contents.notes.add(note[1])
    return contents


def is_of_build(path: str, store_format: str, max_shards: int, layout: RecordLayout = LAYOUT) -> bool:
    """Return whether a file has a name that a build gives; arguments as for `look`."""
    return _Names(store_format, max_shards, layout).is_file(path)


def note_of(path: str) -> str | None:
    """Return the name of the shard that a file in the work folder is about; None for any other file."""
    match = _NOTES.fullmatch(path)
    return match[1] if match else None


class _Names:
    """The names that a build gives to its files and folders."""

    def __init__(self, store_format: str | None, max_shards: int, layout: RecordLayout) -> None:
        self._format = store_format
        self._max_shards = max_shards
        array = f"(?:{'|'.join(part.name for part in parts_of('zarr', layout))})"
        self._shards = {
            "webdataset": re.compile(rf"{_SPLIT}-(\d{{5,}})\.(?:tar|idx)()"),
            "zarr": re.compile(rf"{_SPLIT}/{array}/c/(\d+)/0/0/0|{_SPLIT}/(?:labels|key)/c/(\d+)/0"),
        }
        self._metadata = re.compile(rf"(?:{_SPLIT}/(?:(?:{array}|labels|key)/)?)?zarr\.json")
        self._folders = re.compile(
            rf"{_SPLIT}(?:/(?:{array}(?:/c(?:/\d+(?:/0){{0,2}})?)?|(?:labels|key)(?:/c(?:/\d+)?)?))?"
        )

    def is_folder(self, path: str) -> bool:
        return path == WORK or (self._format == "zarr" and self._folders.fullmatch(path) is not None)

    def is_file(self, path: str) -> bool:
        if self._format is None:
            return path == BUILD_NOTE or path in LOCKS
        return (
            path in _FIXED
            or _NOTES.fullmatch(path) is not None
            or self.is_shard(path)
            or (self._format == "zarr" and self._metadata.fullmatch(path) is not None)
        )

    def is_shard(self, path: str) -> bool:
        match = self._shards[self._format].fullmatch(path) if self._format is not None else None
        return match is not None and int(match[1] or match[2]) < self._max_shards

    def is_shard_of_any(self, path: str) -> bool:
        # The name of a temporary file is ours without doubt, so it may be of an earlier build with other options.
        return self._format is not None and any(shards.fullmatch(path) for shards in self._shards.values())

    def without_temporary(self, path: str) -> str:
        """Return the name that a temporary file was to have, any other name as it is."""
        folder, slash, name = path.rpartition("/")
        if (whole := temporary_of(name)) is not None:
            return f"{folder}{slash}{whole}"
        if self._format == "zarr" and (match := _ZARR_TEMPORARY.fullmatch(name)):
            return f"{folder}{slash}{'zarr.json' if match[1] == 'zarr' else match[1]}"
        return path


def _walk(out: Path, names: _Names, below: str = "") -> Iterator[tuple[str, str]]:
    """Yield path and kind (`file`, `folder` or `other`) of all below a folder; of another's folder only itself."""
    try:
        with os.scandir(out / below) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    for entry in entries:
        relative = f"{below}{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            yield relative, "folder"
            if names.is_folder(relative):
                yield from _walk(out, names, f"{relative}/")
        else:
            yield relative, "file" if entry.is_file(follow_symlinks=False) else "other"
