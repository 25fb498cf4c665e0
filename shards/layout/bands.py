"""The twelve Sentinel-2 bands of a BigEarthNet patch and their places in a record.

A record is one patch at native resolution: 80,000 uint16 in the order
B02 B03 B04 B08 (10 m) | B05 B06 B07 B8A B11 B12 (20 m) | B01 B09 (60 m), each band row by row from the north-west.
"""

from dataclasses import dataclass
from typing import Final

PATCH_METRES: Final = 1200
"""Side of a patch on the ground, in metres."""


@dataclass(frozen=True, slots=True)
class BandGroup:
    """The bands of one resolution, which are contiguous in a record.

    Attributes:
        name: name of the group's array in a Zarr store (`b10`, `b20`, `b60`).
        metres: ground size of a pixel, in metres.
        bands: band names in record order.
        start: index of the group's first value in a record.
    """

    name: str
    metres: int
    bands: tuple[str, ...]
    start: int

    @property
    def size(self) -> int:
        """Side of a band in pixels."""
        return PATCH_METRES // self.metres

    @property
    def band_values(self) -> int:
        """Values of one band."""
        return self.size * self.size

    @property
    def values(self) -> int:
        """Values of all bands of the group."""
        return len(self.bands) * self.band_values

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the group: (bands, rows, columns)."""
        return (len(self.bands), self.size, self.size)

    @property
    def slice(self) -> slice:
        """Place of the group in a record."""
        return slice(self.start, self.start + self.values)


B10: Final = BandGroup("b10", 10, ("B02", "B03", "B04", "B08"), 0)
B20: Final = BandGroup("b20", 20, ("B05", "B06", "B07", "B8A", "B11", "B12"), B10.values)
B60: Final = BandGroup("b60", 60, ("B01", "B09"), B10.values + B20.values)

GROUPS: Final = (B10, B20, B60)
BANDS: Final[tuple[str, ...]] = tuple(band for group in GROUPS for band in group.bands)
"""Band names in record order."""

GROUP_OF: Final[dict[str, BandGroup]] = {band: group for group in GROUPS for band in group.bands}

RECORD_VALUES: Final = sum(group.values for group in GROUPS)
"""Values of a record: 80,000."""
RECORD_BYTES: Final = 2 * RECORD_VALUES
"""Bytes of a decoded record: 160,000."""

BAND_SLICES: Final[dict[str, slice]] = {
    band: slice(group.start + i * group.band_values, group.start + (i + 1) * group.band_values)
    for group in GROUPS
    for i, band in enumerate(group.bands)
}
"""Place of each band in a record."""
