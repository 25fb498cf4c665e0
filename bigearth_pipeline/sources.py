"""Finding patch folders: which version a tree is of, and which patches lie in it.

v1 is flat (`BigEarthNet-v1.0/<patch>/`, a JSON file in each); v2 has a level more
(`BigEarthNet-S2/<product>/<patch>/`) and tables beside it. Which one a directory holds is found by looking.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, Literal

from bigearth_pipeline.errors import PipelineError
from shards.tar import MAX_KEY

Version = Literal["v1", "v2"]

_SAFE_KEY: Final = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_KEY}}}")
_V1_KEY: Final = re.compile(r"S2[A-Z]_MSIL2A_\d{8}T\d{5,6}_\d+_\d+")
_DEPTH: Final = 3
_PROBED: Final = 64  # Folders looked into at a level before it is taken to hold no patches.


@dataclass(frozen=True, slots=True)
class Source:
    """A tree of patch folders.

    Attributes:
        root: directory that holds the patch folders (v1) or the product folders (v2).
        version: version of BigEarthNet.
    """

    root: Path
    version: Version

    def folders(self) -> Iterator[tuple[str, str]]:
        """Yield (patch name, folder) of every patch folder, in the order of the file system."""
        if self.version == "v1":
            yield from _subfolders(str(self.root))
            return
        for name, product in _subfolders(str(self.root)):
            if _holds_bands(product, name):
                yield name, product
            else:
                yield from _subfolders(product)


def find_source(path: Path) -> Source:
    """Find the patch folders at or below a directory.

    Raises:
        PipelineError: the directory is missing, or holds no BigEarthNet tree, or trees of both versions.
    """
    if not path.is_dir():
        what = "is not a directory" if path.exists() else "does not exist"
        raise PipelineError(f"source {path} {what}")
    try:
        found = list(_find(path, _DEPTH))
    except OSError as err:
        raise PipelineError(f"source {err.filename} cannot be read: {err.strerror}") from err
    if not found:
        raise PipelineError(
            f"source {path} holds no BigEarthNet tree: expected folders <patch>/<patch>_B02.tif (v1) "
            f"or <product>/<patch>/<patch>_B02.tif (v2), at most {_DEPTH} levels down"
        )
    if len(found) > 1:
        roots = ", ".join(f"{source.root} ({source.version})" for source in found)
        raise PipelineError(f"source {path} holds several trees; name the one to build: {roots}")
    return found[0]


def is_safe_key(key: str) -> bool:
    """Tell whether a patch name can be a tar member's name that every reader splits at the same place."""
    return _SAFE_KEY.fullmatch(key) is not None


def _find(path: Path, depth: int) -> Iterator[Source]:
    """Yield the trees at or below a directory, not looking below one that was found."""
    below: list[str] = []
    for name, folder in islice(_subfolders(str(path)), _PROBED):
        version = _patch_version(name, folder)
        if version is not None:
            # A v2 patch here means that `path` is a single product folder.
            yield Source(path, version)
            return
        below.append(folder)
    for folder in below:
        versions = {_patch_version(*found) for found in islice(_subfolders(folder), _PROBED)}
        if "v2" in versions:
            yield Source(path, "v2")
            return
    if depth > 1:
        for folder in sorted(below):
            yield from _find(Path(folder), depth - 1)


def _patch_version(name: str, folder: str) -> Version | None:
    """Return the version of a patch folder, None for a folder of another kind."""
    if os.path.exists(f"{folder}/{name}_labels_metadata.json"):
        return "v1"
    if not _holds_bands(folder, name):
        return None
    return "v1" if _V1_KEY.fullmatch(name) else "v2"


def _holds_bands(folder: str, name: str) -> bool:
    return os.path.exists(f"{folder}/{name}_B02.tif") or os.path.exists(f"{folder}/{name}_B05.tif")


def _subfolders(path: str) -> Iterator[tuple[str, str]]:
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.is_dir() and not entry.name.startswith("."):
                yield entry.name, entry.path
