"""From a record to colours on the 10 m grid: three bands as red, green and blue, each stretched between two values."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from shards.errors import InvalidValue
from shards.layout.bands import B10, BAND_SLICES, BANDS, GROUP_OF
from shards.layout.statistics import NODATA, BandStatistics

Pixel = TypeVar("Pixel", bound=np.generic)
SIDE: Final = B10.size
"""Side of a picture in pixels of 10 m."""
MISSING: Final = (255, 0, 255)
"""Colour of pixels that are missing in any of the three bands; no land cover has it."""
MISSING_WORD: Final = "magenta"
"""Name of this colour, for captions."""
_GAMMA: Final = 0.6
_TABLES: Final = 128
"""Stretches of a band whose brightness is kept as a table of 64 KiB."""
_REFLECTANCE: Final = 10_000
"""Digital numbers of reflectance 1 in Sentinel-2 L2A products (QUANTIFICATION_VALUE)."""


@dataclass(frozen=True, slots=True)
class Composition:
    """Three bands as colours.

    Attributes:
        name: as people call it.
        bands: names of the bands shown as red, green and blue.
    """

    name: str
    bands: tuple[str, str, str]

    @property
    def words(self) -> str:
        """Name and bands, such as `true colour (B04, B03, B02)`."""
        return f"{self.name} ({', '.join(self.bands)})"


TRUE_COLOUR: Final = Composition("true colour", ("B04", "B03", "B02"))
FALSE_COLOUR: Final = Composition("false colour", ("B08", "B04", "B03"))
"""Near infrared as red: vegetation is red, water black."""
SHORT_WAVE: Final = Composition("SWIR", ("B12", "B8A", "B04"))
"""Short-wave infrared as red: vegetation is green, bare and burnt soil red to brown, water black."""
COMPOSITIONS: Final = (TRUE_COLOUR, FALSE_COLOUR, SHORT_WAVE)


def composition_of(text: str) -> Composition:
    """Return the composition of three bands, written as `B12,B8A,B04`.

    Raises:
        InvalidValue: it is not three bands.
    """
    names = tuple(part.strip().upper() for part in text.split(","))
    if len(names) != 3 or not set(names) <= set(BANDS):
        raise InvalidValue(f"`bands={text:.60}`, expected three of {', '.join(BANDS)}, separated by commas")
    same = [composition for composition in COMPOSITIONS if composition.bands == names]
    return same[0] if same else Composition("bands", names)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Values that become black and full brightness, the same in all pictures.

    Between them brightness is ((value − low) / (high − low)) ** `gamma`, so that dark land is not black.

    Attributes:
        limits: (low, high) in digital numbers, by band.
        gamma: exponent.
    """

    limits: Mapping[str, tuple[float, float]]
    gamma: float = _GAMMA

    @classmethod
    def fixed(cls) -> "Stretch":
        """Return the stretch for patches without statistics: reflectance 0 to 0.25, to 0.5 in the infrared."""
        infrared = ("B06", "B07", "B08", "B8A", "B09", "B11", "B12")
        return cls({band: (0.0, (0.5 if band in infrared else 0.25) * _REFLECTANCE) for band in BANDS})

    @classmethod
    def of_statistics(cls, statistics: Mapping[str, BandStatistics], low: str = "1", high: str = "99") -> "Stretch":
        """Return the stretch between two percentiles of each band, by their names in `BandStatistics.percentiles`."""
        limits = {band: (found.percentiles[low], found.percentiles[high]) for band, found in statistics.items()}
        return cls(limits)

    def words(self, bands: Iterable[str]) -> str:
        """Return the limits of bands, for a caption."""
        return ", ".join(f"{band} {self.limits[band][0]:,.0f}–{self.limits[band][1]:,.0f}" for band in bands)

    def bright(self, values: NDArray[np.uint16], band: str) -> NDArray[np.uint8]:
        """Return values of a band as brightness, uint8 of the same shape."""
        low, high = self.limits[band]
        brightness: NDArray[np.uint8] = _brightness(float(low), float(high), float(self.gamma))[values]
        return brightness


@lru_cache(_TABLES)
def _brightness(low: float, high: float, gamma: float) -> NDArray[np.uint8]:
    """Return the brightness of each digital number, (65536,) uint8: powers of all pixels would take longer."""
    values = np.arange(1 << 16, dtype=np.float32)
    scaled = np.clip((values - low) / max(high - low, 1.0), 0, 1) ** gamma
    table: NDArray[np.uint8] = np.rint(scaled * 255).astype(np.uint8)
    table.flags.writeable = False
    return table


def band_of(record: NDArray[np.uint16], band: str) -> NDArray[np.uint16]:
    """Return a view of a band at its own resolution, (rows, columns) uint16, of a record, (80000,) uint16."""
    size = GROUP_OF[band].size
    return record[BAND_SLICES[band]].reshape(size, size)


def at_10m(values: NDArray[Pixel]) -> NDArray[Pixel]:
    """Return a band on the 10 m grid, (120, 120) of its type: each pixel is repeated."""
    times = SIDE // len(values)
    return values.repeat(times, axis=0).repeat(times, axis=1)


def colours(record: NDArray[np.uint16], composition: Composition, stretch: Stretch) -> NDArray[np.uint8]:
    """Return the picture of a record, (80000,) uint16, as (120, 120, 3) uint8; missing pixels are `MISSING`."""
    picture = np.empty((SIDE, SIDE, len(composition.bands)), np.uint8)
    is_missing = np.zeros((SIDE, SIDE), np.bool_)
    for number, band in enumerate(composition.bands):
        values = band_of(record, band)
        picture[..., number] = at_10m(stretch.bright(values, band))
        lost = values == NODATA
        if lost.any():
            is_missing |= at_10m(lost)
    picture[is_missing] = MISSING
    return picture
