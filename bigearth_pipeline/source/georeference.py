"""Location of a patch, and the locations that a patch can have."""

import struct
from dataclasses import dataclass
from typing import Final

from bigearth_pipeline.errors import BadPatch

NORTHERN_UTM: Final = range(32601, 32661)
"""EPSG codes of the UTM zones of the northern hemisphere on WGS 84, zone 1 first."""
SOUTHERN_UTM: Final = range(32701, 32761)
"""EPSG codes of the UTM zones of the southern hemisphere on WGS 84, zone 1 first."""

# Eastings and northings in metres. UTM reaches from 80° S (1,118,414) to 84° N (9,328,094) and is used some 10 km
# beyond the equator, as far as a tile of Sentinel-2 that touches it extends; the false easting is 500,000.
_EASTINGS: Final = (0.0, 1e6)
_NORTHERN: Final = (-1e4, 9.4e6)
_SOUTHERN: Final = (1e6, 1.001e7)
_OTHER: Final = (-2.01e7, 2.01e7)  # Half of the Earth's circumference to either side.


class BadPlace(BadPatch):
    """A band file says no place, or one that it cannot have; its pixels may be right."""


@dataclass(frozen=True, slots=True)
class Georeference:
    """Location of a patch: EPSG code, and easting and northing of the upper-left corner in metres."""

    epsg: int
    ulx: float
    uly: float

    def __str__(self) -> str:
        return f"EPSG:{self.epsg} {self.ulx} {self.uly}"


def georeference(path: str, epsg: int, ulx: float, uly: float) -> Georeference:
    """Return a place that a patch can have.

    Args:
        path: the file that says it, for messages.
        epsg: code of a projected system in metres.
        ulx: easting of the upper-left corner, in metres.
        uly: northing of the upper-left corner, in metres.

    Raises:
        BadPlace: no place in that system has these coordinates, NaN and infinity among them.
    """
    eastings, northings = _OTHER, _OTHER
    if epsg in NORTHERN_UTM or epsg in SOUTHERN_UTM:
        eastings, northings = _EASTINGS, _NORTHERN if epsg in NORTHERN_UTM else _SOUTHERN
    if not (eastings[0] <= ulx <= eastings[1] and northings[0] <= uly <= northings[1]):
        raise BadPlace(
            f"{path} lies at EPSG:{epsg} {ulx} {uly}, expected an easting from {eastings[0]:.0f} to {eastings[1]:.0f} "
            f"and a northing from {northings[0]:.0f} to {northings[1]:.0f} m"
        )
    return Georeference(epsg, ulx, uly)


def utm_descriptions() -> dict[bytes, int]:
    """Return, for every UTM zone, the bytes that describe it in the files of BigEarthNet, and its EPSG code.

    They are the values of the tags GeoKeyDirectory and GeoAsciiParams (GeoTIFF 1.1, OGC 19-008r4, requirements 4 and 9)
    as GDAL writes them: a header of four SHORTs, then key, location (0: here), count, and value or offset of each key.
    """
    found = {}
    for epsg in (*NORTHERN_UTM, *SOUTHERN_UTM):
        zone = f"{epsg % 100}{'N' if epsg in NORTHERN_UTM else 'S'}"
        citation = f"WGS 84 / UTM zone {zone}|"
        keys = (
            *(1, 1, 0, 7),
            *(1024, 0, 1, 1),  # projected
            *(1025, 0, 1, 1),  # a pixel is an area
            *(1026, 34737, len(citation), 0),
            *(2049, 34737, 7, len(citation)),
            *(2054, 0, 1, 9102),  # degrees
            *(3072, 0, 1, epsg),
            *(3076, 0, 1, 9001),  # metres
        )
        found[struct.pack(f"<{len(keys)}H", *keys) + f"{citation}WGS 84|\0".encode()] = epsg
    return found
