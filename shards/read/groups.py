"""The readers of a store by name: one of the Sentinel-2 record, and one of each further group."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards.codec.registry import get_codec
from shards.errors import InvalidValue
from shards.layout.bands import RECORD_VALUES
from shards.layout.record import S2
from shards.metadata.index import Index
from shards.metadata.manifest import Manifest
from shards.read.checks import Checks
from shards.read.extents import Extents
from shards.read.reader import Reader
from shards.storage.base import Cache, Files
from shards.text.kinds import check_kind


class Readers:
    """The readers of the Sentinel-2 record, `s2`, and of the further groups of a store.

    Attributes:
        record: that of the Sentinel-2 record.
        groups: names of the further groups.
    """

    def __init__(self, manifest: Manifest, index: Index, extents: Extents, files: Files, cache: Cache) -> None:
        """Put together what reading takes; `extents` are those of the record."""
        checks = Checks(extents.crc32c)
        self.record = Reader(extents, files, cache, get_codec(manifest.codec), checks, index.key)
        self._by_name = {S2: self.record}
        self._shapes: dict[str, tuple[int, ...]] = {S2: (RECORD_VALUES,)}
        self._dtypes = {S2: np.dtype(np.uint16)}
        for group in manifest.layout.extras:
            codec, where = get_codec(group.codec or manifest.codec), extents.of_group(manifest, group.name)
            self._by_name[group.name] = Reader(where, files, cache, codec, checks, index.key)
            self._shapes[group.name], self._dtypes[group.name] = group.shape, np.dtype(group.dtype)
        self.groups = tuple(group.name for group in manifest.layout.extras)

    def of(self, name: str) -> Reader:
        """Return a reader by name.

        Raises:
            InvalidValue: there is no such group.
        """
        if not isinstance(name, str) or name not in self._by_name:
            raise InvalidValue(f"the store has no group {name!r} of its own; there are {', '.join(self._by_name)}")
        return self._by_name[name]

    def named(self, groups: Sequence[str] | None) -> tuple[str, ...]:
        """Return the names of further groups that a caller gave; all for None.

        Raises:
            InvalidValue: they are not several names.
        """
        if groups is None:
            return self.groups
        if isinstance(groups, str) or not isinstance(groups, Iterable):
            raise InvalidValue(f"groups is {groups!r:.60}, expected several names, such as [{groups!r:.60}], or None")
        return tuple(groups)

    def room(self, name: str, count: int) -> NDArray[Any]:
        """Return an array for a record or group of as many patches, whose values are not set."""
        self.of(name)
        return np.empty((count, *self._shapes[name]), self._dtypes[name])

    def check_room(self, name: str, count: int, out: NDArray[Any]) -> None:
        """Check an array that a caller gave for a record or group of as many patches.

        Raises:
            InvalidValue: there is no such group.
            ValueError: it has another shape, type or layout.
        """
        self.of(name)
        check_kind("out", out, np.ndarray)
        shape, dtype = (count, *self._shapes[name]), self._dtypes[name]
        if out.shape != shape or out.dtype != dtype or not out.flags.c_contiguous:
            raise ValueError(f"out is {out.dtype} of shape {out.shape}, expected C-contiguous {dtype} of shape {shape}")
