"""Finding patch folders: which version a tree is of, and which patches lie in it.

v1 is flat (`BigEarthNet-v1.0/<patch>/`, a JSON file in each); v2 has a level more
(`BigEarthNet-S2/<product>/<patch>/`) and tables beside it. Which one a directory holds is found by looking.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final, Literal, Protocol

from bigearth_pipeline.errors import PipelineError
from shards.layout.facts import is_key

Version = Literal["v1", "v2"]

_V1_KEY: Final = re.compile(r"S2[A-Z]_MSIL2A_\d{8}T\d{5,6}_\d+_\d+", re.ASCII)
_V2_PRODUCT: Final = re.compile(r"S2[A-Z]_MSIL2A_\d{8}T\d{6}_N\d{4}_R\d{3}_T\d{2}[A-Z]{3}", re.ASCII)
_V2_KEY: Final = re.compile(_V2_PRODUCT.pattern + r"_\d+_\d+", re.ASCII)
# Folders that file servers and systems put everywhere; of other names that no patch can have, a patch was renamed.
_SYSTEM: Final = re.compile(r"[.@#$~].*|lost\+found|System Volume Information")
BAND_FILES: Final = tuple(
    f"_{band}{suffix}" for suffix in (".tif", ".tiff", ".TIF", ".TIFF") for band in ("B02", "B05")
)
"""Ends of the names of files by which a patch folder is recognised."""
ANNOTATION_SUFFIX: Final = "_labels_metadata.json"
SYNTHETIC: Final = "SYNTHETIC.txt"
"""File in the root of a tree of synthetic patches that says so."""
ARCHIVE_NAMES: Final = (".tar", ".tar.zst", ".tzst", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
"""Ends of the names of archives of a tree."""
_DEPTH: Final = 3
_MAX_COMMON: Final = 256  # Folders in a folder each; a link to a folder above it has no end.
_PROBED: Final = 64  # Folders looked into at a level before it is taken to hold no patches.


class Folders(Protocol):
    """The folders in which a tree is looked for: those of the file system, or of the members of an archive."""

    def entries(self, path: str) -> Iterator[tuple[str, str, str]]:
        """Yield (name, path, fault) of the folders in a folder; of one that cannot be entered, with that fault.

        Raises:
            OSError: the folder cannot be read.
        """

    def exists(self, path: str) -> bool:
        """Return whether there is a file or folder of this path."""


class OnDisk:
    """The file system, as `Folders`."""

    def entries(self, path: str) -> Iterator[tuple[str, str, str]]:
        """See `Folders`: links are followed, and those to nothing or in a circle have that fault."""
        with os.scandir(path) as entries:
            for entry in entries:
                try:
                    if entry.is_dir():
                        yield entry.name, entry.path, ""
                    elif entry.is_symlink() and not os.path.exists(entry.path):
                        yield entry.name, entry.path, "it is a link to nothing"
                except OSError as err:
                    yield entry.name, entry.path, err.strerror or str(err)

    def exists(self, path: str) -> bool:
        """See `Folders`."""
        return os.path.exists(path)


@dataclass(slots=True)
class Found:
    """Contents of a tree.

    Attributes:
        patches: (patch name, folder) of every patch folder, in the order of the file system.
        foreign: folders that are no part of BigEarthNet, by their paths below the tree.
        unreadable: (name, path, reason) of patches and products of whose folders nothing can be read.
    """

    patches: list[tuple[str, str]] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    unreadable: list[tuple[str, str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Source:
    """A tree of patch folders.

    Attributes:
        root: directory that holds the patch folders (v1) or the product folders (v2).
        version: version of BigEarthNet.
        files: where the tree lies.
    """

    root: Path
    version: Version
    files: Folders = field(default_factory=OnDisk, compare=False)

    @property
    def is_synthetic(self) -> bool:
        """True if the tree has the mark of data that were drawn by chance."""
        return self.files.exists(f"{self.root}/{SYNTHETIC}")

    def scan(self) -> Found:
        """Look at all folders of the tree.

        A folder is a patch by its name, or by its band files, and so is one in a product whose name no patch can have;
        what is neither that nor a product is foreign, such as `@eaDir`, `.ipynb_checkpoints` or Sentinel-1 patches.

        Raises:
            OSError: the root cannot be read.
        """
        found = Found()
        for name, folder, fault in self.files.entries(str(self.root)):
            if self._is_patch(name, folder, fault, found):
                continue
            product = self.version == "v2" and _V2_PRODUCT.fullmatch(name) is not None
            before = len(found.patches)
            others = []
            if self.version == "v2" and not fault:
                try:
                    for below, inner, inner_fault in self.files.entries(folder):
                        if self._is_patch(below, inner, inner_fault, found):
                            continue
                        if product and not is_key(below) and not _SYSTEM.fullmatch(below):
                            found.patches.append((below, inner))
                        else:
                            others.append(f"{name}/{below}")
                except OSError as err:
                    fault = err.strerror or str(err)
            if product and fault:
                found.unreadable.append((name, folder, f"{folder} cannot be read: {fault}"))
            found.foreign += others if product or len(found.patches) > before else [name]
        return found

    def folders(self) -> Iterator[tuple[str, str]]:
        """Yield (patch name, folder) of every patch folder, in the order of the file system."""
        yield from self.scan().patches

    def _is_patch(self, name: str, folder: str, fault: str, found: Found) -> bool:
        """Add a folder to those found if it is a patch; return whether it is."""
        named = is_named_as(self.version, name)
        if fault:
            if named:
                found.unreadable.append((name, folder, f"{folder} cannot be read: {fault}"))
            return named
        if named or (not name.startswith(".") and patch_version(name, folder, self.files) is not None):
            found.patches.append((name, folder))
            return True
        return False


def is_named_as(version: Version, name: str) -> bool:
    """Return whether a name has the form of BigEarthNet's patch names of a version."""
    return (_V1_KEY if version == "v1" else _V2_KEY).fullmatch(name) is not None


def find_source(path: Path) -> Source:
    """Find the patch folders at or below a directory.

    Raises:
        PipelineError: the directory is missing, or holds no BigEarthNet tree, or trees of both versions.
    """
    if not path.is_dir():
        if path.is_file() and path.name.endswith(ARCHIVE_NAMES):
            raise PipelineError(f"source {path} is an archive, expected the folder that it unpacks to; unpack it")
        what = "is not a directory" if path.exists() else "does not exist"
        raise PipelineError(f"source {path} {what}, expected a folder of BigEarthNet")
    return find_source_in(path, OnDisk())


def find_source_in(path: Path, files: Folders) -> Source:
    """Find the patch folders at or below a folder of a file system or an archive; errors as `find_source`."""
    try:
        # A link can lead to one tree by two ways.
        found = list({os.path.realpath(source.root): source for source in _find_deep(path, files)}.values())
    except OSError as err:
        raise PipelineError(f"source {err.filename} cannot be read: {err.strerror}") from err
    if not found:
        archive = _archive_in(path) if isinstance(files, OnDisk) else ""
        raise PipelineError(
            f"source {path} holds no BigEarthNet tree: expected folders <patch>/<patch>_B02.tif (v1) "
            f"or <product>/<patch>/<patch>_B02.tif (v2), at most {_DEPTH} levels below "
            f"the last folder that all lie in{archive}"
        )
    if len(found) > 1:
        roots = ", ".join(f"{source.root} ({source.version})" for source in found)
        raise PipelineError(f"source {path} holds several trees; name the one to build: {roots}")
    return found[0]


def _archive_in(path: Path) -> str:
    """Return the end of an error that names an archive in a folder; empty if there is no archive."""
    with suppress(OSError):
        if found := sorted(name for name in os.listdir(path) if name.endswith(ARCHIVE_NAMES)):
            return f"; {path / found[0]} is an archive, which a build reads where it is named itself"
    return ""


def _find_deep(path: Path, files: Folders) -> list[Source]:
    """Return the trees below a directory, whatever folders they all lie in, such as those of `tar -c /home/me/data`."""
    for _ in range(_MAX_COMMON):
        found = list(_find(path, _DEPTH, files))
        below = list(islice(_subfolders(str(path), files), 2))
        if found or len(below) != 1:
            return found
        path = Path(below[0][1])
    return []


def _find(path: Path, depth: int, files: Folders) -> Iterator[Source]:
    """Yield the trees at or below a directory, not looking below one that was found."""
    below: list[str] = []
    for name, folder in islice(_subfolders(str(path), files), _PROBED):
        version = patch_version(name, folder, files)
        if version is not None:
            # A v2 patch here means that `path` is a single product folder, or that there are none.
            yield Source(path, version, files)
            return
        below.append(folder)
    for folder in below:
        with suppress(OSError):
            versions = {patch_version(*found, files) for found in islice(_subfolders(folder, files), _PROBED)}
            if "v2" in versions:
                yield Source(path, "v2", files)
                return
    if depth > 1:
        for folder in sorted(below):
            with suppress(OSError):
                yield from _find(Path(folder), depth - 1, files)


def patch_version(name: str, folder: str, files: Folders) -> Version | None:
    """Return the version of a patch folder, None for a folder of another kind."""
    if files.exists(f"{folder}/{name}{ANNOTATION_SUFFIX}"):
        return "v1"
    if not any(files.exists(f"{folder}/{name}{band}") for band in BAND_FILES):
        return None
    return "v1" if _V1_KEY.fullmatch(name) else "v2"


def _subfolders(path: str, files: Folders) -> Iterator[tuple[str, str]]:
    """Yield (name, path) of the folders in a folder that a tree may lie in."""
    for name, folder, fault in files.entries(path):
        if not fault and not name.startswith("."):
            yield name, folder
