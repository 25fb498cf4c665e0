"""Appearance of synthetic land: a pair of reflectance spectra and a texture for each of the 19 classes.

Values are surface reflectance × 10,000, as in Sentinel-2 level 2A. They are made up, in the range of real ones: over a
mix of classes like BigEarthNet's the band means come out near the published statistics.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shards.layout.bands import BANDS
from shards.layout.classes import CLASSES

_WAVELENGTH_ORDER: Final = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
_PLACES: Final = [_WAVELENGTH_ORDER.index(band) for band in BANDS]

SMOOTH, CANOPY, GRAIN = 0, 1, 2
"""Textures: water and slopes; tree crowns and meadows; single trees and roofs."""


@dataclass(frozen=True, slots=True)
class Cover:
    """The look of a class: every pixel is a mix of two spectra, and a texture says how much of which.

    Attributes:
        first: one end of the mix, reflectance × 10,000 from B01 to B12.
        second: the other end.
        texture: `SMOOTH`, `CANOPY` or `GRAIN`.
        contrast: how far the texture drives the mix from the middle; above 0.5 it is mostly one or the other.
        parcel: side of the fields or blocks that have a mix each, in 10 m pixels; 0 without any.
    """

    first: tuple[int, ...]
    second: tuple[int, ...]
    texture: int
    contrast: float
    parcel: int = 0

    @property
    def spectra(self) -> NDArray[np.float32]:
        """The two spectra in record order, (2, 12) float32."""
        return np.array((self.first, self.second), np.float32)[:, _PLACES]


# fmt: off
_COVERS: Final = (
    # Agro-forestry areas: dry grass under scattered trees.
    Cover((420, 560, 860, 980, 1420, 2050, 2300, 2450, 2600, 2650, 2700, 1750),
          (230, 290, 470, 390, 800, 1800, 2100, 2250, 2400, 2450, 1450, 720), GRAIN, 0.9),
    # Arable land: large fields between green crop and bare soil.
    Cover((280, 360, 680, 430, 1020, 2650, 3250, 3450, 3550, 3550, 1800, 930),
          (600, 800, 1080, 1350, 1650, 1850, 2000, 2100, 2250, 2300, 2800, 2250), CANOPY, 0.06, 26),
    # Beaches, dunes, sands: dry to wet sand.
    Cover((1500, 1900, 2350, 2700, 2900, 3000, 3100, 3200, 3300, 2700, 3600, 3000),
          (950, 1200, 1500, 1700, 1800, 1850, 1850, 1850, 1850, 1450, 1800, 1400), SMOOTH, 0.3),
    # Broad-leaved forest.
    Cover((210, 260, 540, 290, 840, 2750, 3450, 3650, 3800, 3850, 1750, 740),
          (180, 220, 420, 250, 660, 2050, 2550, 2700, 2850, 2900, 1350, 570), CANOPY, 0.3),
    # Coastal wetlands: salt marsh and shallow water.
    Cover((560, 660, 880, 830, 1150, 1550, 1700, 1750, 1800, 1500, 1150, 700),
          (480, 560, 700, 560, 560, 480, 460, 420, 400, 300, 180, 120), CANOPY, 0.6),
    # Complex cultivation patterns: small plots of everything.
    Cover((320, 400, 700, 500, 1080, 2500, 3000, 3150, 3250, 3250, 1850, 1000),
          (650, 850, 1150, 1300, 1650, 2000, 2150, 2250, 2400, 2400, 2650, 2050), CANOPY, 0.1, 8),
    # Coniferous forest.
    Cover((160, 190, 340, 210, 470, 1300, 1550, 1650, 1730, 1800, 780, 360),
          (130, 150, 250, 160, 340, 900, 1080, 1150, 1220, 1270, 540, 250), CANOPY, 0.3),
    # Industrial or commercial units: large bright roofs and asphalt.
    Cover((1500, 1850, 2050, 2200, 2300, 2400, 2500, 2600, 2650, 2500, 2700, 2400),
          (720, 800, 900, 950, 1050, 1150, 1200, 1250, 1300, 1300, 1450, 1300), GRAIN, 0.1, 11),
    # Inland waters: darker in the blue and greener than the sea.
    Cover((250, 240, 300, 200, 200, 160, 150, 130, 120, 110, 70, 45),
          (300, 310, 450, 310, 340, 240, 240, 210, 190, 170, 90, 60), SMOOTH, 0.25),
    # Inland wetlands: brown and dark.
    Cover((320, 370, 540, 590, 930, 1350, 1520, 1600, 1720, 1800, 1750, 1000),
          (260, 290, 420, 440, 680, 950, 1080, 1130, 1220, 1260, 1150, 650), CANOPY, 0.5),
    # Land principally occupied by agriculture, with significant areas of natural vegetation.
    Cover((240, 300, 560, 350, 850, 2350, 2850, 3000, 3150, 3200, 1600, 750),
          (450, 570, 840, 850, 1250, 1950, 2200, 2350, 2450, 2500, 2300, 1500), CANOPY, 0.35, 15),
    # Marine waters.
    Cover((430, 360, 260, 125, 105, 85, 85, 70, 60, 85, 30, 20),
          (480, 430, 350, 180, 145, 110, 110, 90, 80, 110, 40, 28), SMOOTH, 0.25),
    # Mixed forest.
    Cover((190, 230, 450, 260, 680, 2050, 2500, 2650, 2800, 2850, 1250, 550),
          (140, 170, 290, 180, 410, 1150, 1380, 1460, 1550, 1600, 700, 320), GRAIN, 0.6),
    # Moors, heathland and sclerophyllous vegetation.
    Cover((330, 400, 580, 640, 950, 1450, 1600, 1700, 1850, 1900, 2200, 1400),
          (270, 320, 460, 470, 760, 1250, 1420, 1520, 1650, 1700, 1700, 980), GRAIN, 0.35),
    # Natural grassland and sparsely vegetated areas: grass and rock.
    Cover((420, 540, 880, 880, 1420, 2450, 2800, 2950, 3050, 3000, 2500, 1500),
          (950, 1150, 1400, 1550, 1700, 1850, 1950, 2050, 2100, 2050, 2400, 1900), SMOOTH, 0.4),
    # Pastures: fields that are all green.
    Cover((320, 410, 850, 480, 1250, 3150, 3900, 4150, 4250, 4250, 2200, 1050),
          (370, 470, 860, 640, 1320, 2700, 3150, 3350, 3450, 3450, 2350, 1250), CANOPY, 0.05, 17),
    # Permanent crops: small plots of trees on bare soil.
    Cover((580, 740, 1020, 1220, 1550, 1950, 2100, 2200, 2350, 2400, 3000, 2250),
          (340, 420, 650, 660, 1020, 1700, 1900, 2000, 2150, 2200, 2150, 1350), GRAIN, 0.6, 12),
    # Transitional woodland, shrub.
    Cover((280, 340, 600, 500, 950, 2000, 2350, 2500, 2650, 2700, 1950, 1000),
          (200, 240, 420, 310, 650, 1450, 1720, 1820, 1930, 1980, 1250, 600), GRAIN, 0.45),
    # Urban fabric: roofs and gardens in small blocks.
    Cover((1050, 1250, 1400, 1500, 1650, 1900, 2000, 2100, 2200, 2200, 2150, 1850),
          (430, 500, 760, 680, 1080, 1950, 2250, 2400, 2500, 2500, 1800, 1150), GRAIN, 0.15, 4),
)
# fmt: on
COVERS: Final = dict(zip(CLASSES, _COVERS, strict=True))

BARE: Final = COVERS["Industrial or commercial units"]
"""Stands for quarries, building sites and the like, which the 19 classes drop."""

CLOUD: Final = np.array(
    (4200, 4300, 4300, 4400, 4500, 4700, 4800, 4900, 4950, 4700, 3600, 2800),
    np.float32,
)[_PLACES]
SNOW: Final = np.array(
    (8200, 8400, 8300, 8300, 8200, 7900, 7700, 7500, 7300, 7000, 700, 600),
    np.float32,
)[_PLACES]
HAZE: Final = np.array((85, 70, 45, 32, 26, 20, 16, 12, 11, 8, 4, 2), np.float32)[_PLACES]
"""One standard deviation of what the air adds to all pixels of a patch."""
