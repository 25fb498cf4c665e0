"""One patch in memory."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from shards.errors import InvalidValue
from shards.layout.bands import B10, B20, B60, BAND_SLICES, GROUP_OF, PATCH_METRES, BandGroup


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """A patch: its pixels at native resolution and what is known of it.

    Attributes:
        key: patch name.
        s2: the record, (80000,) uint16, exactly the stored values.
        labels: 19-class names.
        split: `train`, `validation` or `test`.
        country: country name; None where the source does not tell.
        date: acquisition time (UTC).
        epsg: EPSG code of the coordinate reference system (UTM).
        ulx: easting of the upper-left corner, in metres.
        uly: northing of the upper-left corner, in metres.
        seasonal_snow: flagged as snowy by the dataset's authors; None where nothing tells.
        cloud_or_shadow: flagged as cloudy or shadowed by the dataset's authors; None where nothing tells.
        baseline: processing baseline of the product, 400 for `N0400`; None if unknown.
        nodata_pixels: native pixels of all bands that the source marks as missing; None in stores without the count.
    """

    key: str
    s2: NDArray[np.uint16]
    labels: tuple[str, ...]
    split: str
    country: str | None
    date: datetime
    epsg: int
    ulx: float
    uly: float
    seasonal_snow: bool | None = False
    cloud_or_shadow: bool | None = False
    baseline: int | None = None
    nodata_pixels: int | None = None

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

    @property
    def crs(self) -> str:
        """Coordinate reference system, such as `EPSG:32633`."""
        return f"EPSG:{self.epsg}"

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right, top in metres of the coordinate reference system."""
        return (self.ulx, self.uly - PATCH_METRES, self.ulx + PATCH_METRES, self.uly)

    def transform(self, metres: int = 10) -> tuple[float, float, float, float, float, float]:
        """Affine transform (a, b, c, d, e, f) of pixels of `metres`: x = a·col + b·row + c, y = d·col + e·row + f."""
        return (float(metres), 0.0, self.ulx, 0.0, -float(metres), self.uly)
