"""The band files of a patch: their names, and their contents where those are in memory."""

from collections.abc import Collection
from typing import Final, NamedTuple

from bigearth_pipeline.errors import BadPatch
from shards.layout.bands import BAND_SLICES

USUAL_SUFFIXES: Final = tuple(f"_{band}.tif" for band in BAND_SLICES)
"""Ends of the names of the band files of nearly all patches, in record order."""
_BAND_OF_SUFFIX: Final = dict(zip(USUAL_SUFFIXES, BAND_SLICES, strict=True))
_ENDINGS: Final = (".tif", ".tiff")


class BandFile(NamedTuple):
    """A band file in memory: its bytes, and its modification time in nanoseconds."""

    content: memoryview
    mtime_ns: int


def choose_band_files(names: Collection[str], folder: str, key: str) -> list[str]:
    """Return which of the files of a patch are those of its bands, in record order.

    Args:
        names: of all files in the folder.
        folder: its path, for errors.
        key: patch name.

    Raises:
        BadPatch: a band has no file, or two.
    """
    usual = [key + suffix for suffix in USUAL_SUFFIXES]
    others = set(names).difference(usual)
    if len(names) - len(others) == len(usual):
        for name in others:
            if name.lower().endswith(_ENDINGS):
                break
        else:
            return usual
    files = []
    for expected in usual:
        stem = expected.removesuffix(".tif")
        found = sorted(name for name in names if name.startswith(stem) and name[len(stem) :].lower() in _ENDINGS)
        if not found:
            raise BadPatch(f"{folder}/{expected} is missing")
        if len(found) > 1:
            raise BadPatch(f"{folder} holds {' and '.join(found)}, expected one file a band; remove the wrong one")
        files += found
    return files


def band_of_file(name: str, key: str) -> str | None:
    """Return the band that a file of a patch is of by its name, such as `B02`; None for any other file."""
    if not name.startswith(key):
        return None
    if (usual := _BAND_OF_SUFFIX.get(name[len(key) :])) is not None:
        return usual
    if not name.startswith("_", len(key)):
        return None
    band, dot, ending = name[len(key) + 1 :].partition(".")
    return band if band in BAND_SLICES and dot + ending.lower() in _ENDINGS else None
