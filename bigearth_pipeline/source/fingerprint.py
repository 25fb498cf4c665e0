"""Telling whether the files that a shard was made of have changed since: by size and modification time, not content.

The build takes both from the open files, before it reads them: a change in between makes the fingerprint that of the
older file, so the shard counts as outdated.
"""

import hashlib
import os
from array import array
from collections.abc import Iterable, Sequence
from typing import Final

from bigearth_pipeline.errors import BadPatch
from bigearth_pipeline.source.tiff.reader import band_files
from shards.layout.bands import BAND_SLICES

_ABSENT: Final = (-1, -1)
_INT64: Final = (1 << 63) - 1


def fingerprint(statuses: Sequence[int], annotations: Sequence[int]) -> str:
    """Return the fingerprint of a shard: 64 bits in hexadecimal.

    Args:
        statuses: size in bytes and modification time in nanoseconds of the band files, patch by patch in their order in
            the shard, each in the order of the bands in a record.
        annotations: the same of the JSON files; none in v2.
    """
    hash_ = hashlib.blake2b(digest_size=8)
    for numbers in (statuses, annotations):
        try:
            hash_.update(array("q", numbers))
        except OverflowError:
            # No file system has such times, but a damaged one may.
            hash_.update(array("q", [number & _INT64 for number in numbers]))
    return hash_.hexdigest()


def fingerprint_now(patches: Sequence[tuple[str, str]]) -> str:
    """Return the fingerprint of the files of some patches, (key, folder) each, as they are now."""
    statuses: list[int] = []
    for key, folder in patches:
        try:
            names = band_files(folder, folder, key)
        except BadPatch:
            # A file of a band is gone, or there are two: no build has such a patch.
            names = [""] * len(BAND_SLICES)
        for name in names:
            statuses += _status(f"{folder}/{name}") if name else _ABSENT
    return fingerprint(statuses, annotation_statuses(patches))


def annotation_statuses(patches: Iterable[tuple[str, str]]) -> list[int]:
    """Return size and modification time of the JSON files of patches; nothing if the first has none, as in v2."""
    statuses: list[int] = []
    for key, folder in patches:
        status = _status(f"{folder}/{key}_labels_metadata.json")
        if status == _ABSENT and not statuses:
            break
        statuses += status
    return statuses


def _status(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return _ABSENT
    return status.st_size, status.st_mtime_ns
