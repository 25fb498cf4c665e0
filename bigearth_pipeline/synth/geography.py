"""Locations and land cover of synthetic patches: products of the ten countries, and landscapes."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final


@dataclass(frozen=True)
class Product:
    """A Sentinel-2 product that patches are cut from; those of BigEarthNet, with their real names and places.

    Attributes:
        country: country, as in the official table.
        name: product name, as in version 2.
        s1: stem of the name of the matching Sentinel-1 product.
        ulx: easting of the tile's upper-left corner, in metres.
        uly: northing of it, in metres.
        odd_time: time in the names that some version 1 patches of the product have; it lacks the hour's leading zero.
    """

    country: str
    name: str
    s1: str
    ulx: int
    uly: int
    odd_time: str | None = None

    @cached_property
    def parts(self) -> list[str]:
        """Mission, level, time, baseline, orbit and tile."""
        return self.name.split("_")

    @property
    def epsg(self) -> int:
        """EPSG code of the tile's UTM zone."""
        return 32600 + int(self.parts[5][1:3])


PRODUCTS: Final = (
    Product(
        "Austria", "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP", "S1A_IW_GRDH_1SDV_20170613T165043", 300000, 5400000
    ),
    Product(
        "Austria", "S2A_MSIL2A_20180506T100031_N9999_R122_T33UWP", "S1A_IW_GRDH_1SDV_20180507T050948", 499980, 5400000
    ),
    Product(
        "Austria", "S2B_MSIL2A_20170831T095029_N9999_R079_T33UXP", "S1A_IW_GRDH_1SDV_20170831T164243", 600000, 5400000
    ),
    Product(
        "Belgium", "S2B_MSIL2A_20170829T105019_N9999_R051_T31UER", "S1A_IW_GRDH_1SDV_20170829T055029", 499980, 5600040
    ),
    Product(
        "Belgium", "S2B_MSIL2A_20180506T105029_N9999_R051_T31UER", "S1A_IW_GRDH_1SDV_20180508T055029", 499980, 5600040
    ),
    Product(
        "Finland",
        "S2B_MSIL2A_20170924T093019_N9999_R136_T35VPK",
        "S1A_IW_GRDH_1SDV_20170925T043256",
        600000,
        7000020,
        "T93020",
    ),
    Product(
        "Finland", "S2B_MSIL2A_20180515T094029_N9999_R036_T35VNJ", "S1B_IW_GRDH_1SDV_20180517T154802", 499980, 6900000
    ),
    Product(
        "Finland", "S2B_MSIL2A_20170906T101019_N9999_R022_T34WFS", "S1A_IW_GRDH_1SDV_20170906T155749", 600000, 7200000
    ),
    Product(
        "Finland",
        "S2B_MSIL2A_20180525T094029_N9999_R036_T35VNK",
        "S1B_IW_GRDH_1SDV_20180524T154016",
        499980,
        7000020,
        "T94030",
    ),
    Product(
        "Ireland", "S2A_MSIL2A_20170617T113321_N9999_R080_T29UPU", "S1A_IW_GRDH_1SDV_20170617T064724", 600000, 5900040
    ),
    Product(
        "Ireland", "S2A_MSIL2A_20180529T115401_N9999_R023_T29UNB", "S1A_IW_GRDH_1SDV_20180529T181504", 499980, 6200040
    ),
    Product(
        "Kosovo", "S2A_MSIL2A_20171208T093351_N9999_R136_T34TEN", "S1A_IW_GRDH_1SDV_20171207T162450", 499980, 4800000
    ),
    Product(
        "Lithuania",
        "S2B_MSIL2A_20170927T094019_N9999_R036_T35ULB",
        "S1A_IW_GRDH_1SDV_20170928T161150",
        300000,
        6200040,
        "T94020",
    ),
    Product(
        "Lithuania", "S2B_MSIL2A_20170930T095019_N9999_R079_T34UEG", "S1B_IW_GRDH_1SDV_20170929T045032", 499980, 6200040
    ),
    Product(
        "Luxembourg",
        "S2A_MSIL2A_20180508T104031_N9999_R008_T31UGR",
        "S1A_IW_GRDH_1SDV_20180508T055029",
        699960,
        5600040,
    ),
    Product(
        "Portugal", "S2A_MSIL2A_20170813T112121_N9999_R037_T29SNC", "S1A_IW_GRDH_1SDV_20170812T182647", 499980, 4300020
    ),
    Product(
        "Portugal", "S2B_MSIL2A_20180515T112109_N9999_R037_T29SND", "S1B_IW_GRDH_1SDV_20180515T063356", 499980, 4400040
    ),
    Product(
        "Portugal", "S2A_MSIL2A_20171002T112111_N9999_R037_T29SNB", "S1A_IW_GRDH_1SDV_20171004T183450", 499980, 4200000
    ),
    Product(
        "Serbia", "S2B_MSIL2A_20170914T093029_N9999_R136_T34TEP", "S1A_IW_GRDH_1SDV_20170914T162451", 499980, 4900020
    ),
    Product(
        "Serbia",
        "S2A_MSIL2A_20171002T094031_N9999_R036_T34TCR",
        "S1B_IW_GRDH_1SDV_20170929T045327",
        300000,
        5100000,
        "T94032",
    ),
    Product(
        "Switzerland",
        "S2A_MSIL2A_20170818T103021_N9999_R108_T32TMT",
        "S1B_IW_GRDH_1SDV_20170818T054218",
        399960,
        5300040,
    ),
)


@dataclass(frozen=True, slots=True)
class Landscape:
    """Classes that occur together.

    Attributes:
        share: of all patches, relative to the other landscapes.
        countries: where it is found, with the share of each.
        classes: what it is made of, with the share of each, relative to the others.
        max_classes: most classes in a patch.
    """

    share: float
    countries: dict[str, float]
    classes: dict[str, float]
    max_classes: int = 5


_LAND: Final = "Land principally occupied by agriculture, with significant areas of natural vegetation"
_MOORS: Final = "Moors, heathland and sclerophyllous vegetation"
_GRASSLAND: Final = "Natural grassland and sparsely vegetated areas"
_INDUSTRY: Final = "Industrial or commercial units"
_SHRUB: Final = "Transitional woodland, shrub"
_CROPS: Final = "Complex cultivation patterns"

# Shares after the class counts by country in the version 2 tables.
# fmt: off
LANDSCAPES: Final = (
    Landscape(  # open sea
        0.11, {"Finland": 6, "Ireland": 2, "Portugal": 2, "Lithuania": 1},
        {"Marine waters": 1}, max_classes=1,
    ),
    Landscape(  # coast
        0.04, {"Finland": 2, "Ireland": 2, "Portugal": 3, "Lithuania": 1},
        {"Marine waters": 6, "Beaches, dunes, sands": 1.2, "Coastal wetlands": 1.2, _MOORS: 1, "Coniferous forest": 0.8,
         "Mixed forest": 0.7, "Pastures": 0.7, "Arable land": 0.7, "Urban fabric": 0.5, _SHRUB: 0.5},
    ),
    Landscape(  # boreal forest
        0.32, {"Finland": 9, "Lithuania": 2},
        {"Coniferous forest": 4, "Mixed forest": 4, _SHRUB: 2.5, "Inland waters": 2, _LAND: 1.1, "Arable land": 1,
         "Inland wetlands": 0.6, "Broad-leaved forest": 0.5},
    ),
    Landscape(  # cropland
        0.24, {"Austria": 3, "Serbia": 4, "Lithuania": 3, "Belgium": 2, "Luxembourg": 1, "Kosovo": 1, "Switzerland": 1},
        {"Arable land": 5, _CROPS: 3, _LAND: 2.5, "Broad-leaved forest": 2, "Pastures": 1.5, "Urban fabric": 1.2,
         "Mixed forest": 1, "Coniferous forest": 0.5, "Inland waters": 0.4, "Permanent crops": 0.4, _INDUSTRY: 0.25},
    ),
    Landscape(  # meadows by the Atlantic
        0.08, {"Ireland": 6, "Belgium": 1, "Luxembourg": 1},
        {"Pastures": 5, "Arable land": 2.5, _LAND: 1, "Coniferous forest": 0.8, _SHRUB: 0.7, "Inland wetlands": 0.6,
         "Urban fabric": 0.5, "Broad-leaved forest": 0.4, "Mixed forest": 0.4, _MOORS: 0.3},
    ),
    Landscape(  # Mediterranean
        0.12, {"Portugal": 1},
        {"Agro-forestry areas": 2.2, "Arable land": 2, "Broad-leaved forest": 2, _SHRUB: 2, "Permanent crops": 1.5,
         _CROPS: 1, _LAND: 1, _MOORS: 0.6, "Mixed forest": 0.6, "Pastures": 0.6, "Coniferous forest": 0.3,
         "Inland waters": 0.25},
    ),
    Landscape(  # mountains
        0.05, {"Austria": 3, "Serbia": 2, "Kosovo": 1, "Switzerland": 1},
        {"Broad-leaved forest": 2.5, "Coniferous forest": 2, "Mixed forest": 2, _SHRUB: 1.5, _GRASSLAND: 1.2,
         "Pastures": 0.8, _MOORS: 0.3},
    ),
    Landscape(  # towns
        0.04, {"Austria": 2, "Belgium": 3, "Luxembourg": 1, "Switzerland": 2, "Serbia": 1, "Kosovo": 1, "Ireland": 1},
        {"Urban fabric": 5, _INDUSTRY: 2, "Arable land": 1.5, _CROPS: 1.5, "Pastures": 0.7, "Inland waters": 0.5},
    ),
)
# fmt: on
