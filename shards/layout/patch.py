"""One patch in memory."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shards.errors import InvalidValue
from shards.layout.bands import B10, B20, B60, BAND_SLICES, GROUP_OF, BandGroup
from shards.layout.facts import Facts


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Patch(Facts):
    """A patch: its pixels at native resolution, and all that is known of it (`Facts`).

    Attributes:
        s2: the record, (80000,) uint16, exactly the stored values.
    """

    s2: NDArray[np.uint16]

    def _group(self, group: BandGroup) -> NDArray[np.uint16]:
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

    def band(self, name: str) -> NDArray[np.uint16]:
        """View of one band by name, (rows, columns) uint16.

        Raises:
            ValueError: there is no such band.
        """
        if name not in GROUP_OF:
            raise InvalidValue(f"no band {name!r}; there are {', '.join(BAND_SLICES)}")
        size = GROUP_OF[name].size
        return self.s2[BAND_SLICES[name]].reshape(size, size)
