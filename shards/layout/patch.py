"""One patch in memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards.errors import InvalidValue
from shards.layout.bands import B10, B20, B60, BAND_SLICES, GROUP_OF, GROUPS
from shards.layout.facts import Facts
from shards.layout.record import RecordGroup


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Patch(Facts):
    """A patch: its pixels at native resolution, and all that is known of it (`Facts`).

    Attributes:
        s2: the record, (80000,) uint16, exactly the stored values.
        groups: further groups that were read, by name: each (bands, rows, columns) of its type.
    """

    s2: NDArray[np.uint16]
    groups: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def _group(self, group: RecordGroup) -> NDArray[np.uint16]:
        return self.s2[group.slice].reshape(group.shape)

    @property
    def b10(self) -> NDArray[np.uint16]:
        """View of the 10 m bands, (4, 120, 120) uint16."""
        return self._group(B10)

    @property
    def b20(self) -> NDArray[np.uint16]:
        """View of the 20 m bands, (6, 60, 60) uint16."""
        return self._group(B20)

    @property
    def b60(self) -> NDArray[np.uint16]:
        """View of the 60 m bands, (2, 20, 20) uint16."""
        return self._group(B60)

    def group(self, name: str) -> NDArray[Any]:
        """Return a group by name, (bands, rows, columns): `b10`, `b20` and `b60`, or one of `groups`.

        Raises:
            ValueError: there is no such group, or it was not read.
        """
        if isinstance(name, str) and name in self.groups:
            return self.groups[name]
        for group in GROUPS:
            if group.name == name:
                return self._group(group)
        known = ", ".join((*(group.name for group in GROUPS), *self.groups))
        raise InvalidValue(f"patch {self.key} has no group {name!r}; there are {known}")

    def band(self, name: str) -> NDArray[np.uint16]:
        """View of one band by name, (rows, columns) uint16.

        Raises:
            ValueError: there is no such band.
        """
        if not isinstance(name, str) or name not in GROUP_OF:
            raise InvalidValue(f"no band {name!r}; there are {', '.join(BAND_SLICES)}")
        size = GROUP_OF[name].size
        return self.s2[BAND_SLICES[name]].reshape(size, size)
