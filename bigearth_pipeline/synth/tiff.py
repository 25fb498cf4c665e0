"""GeoTIFF band files as BigEarthNet publishes them: the same tags in the same places, byte for byte.

Written here and not by GDAL, because version 1 keeps its strip sizes as LONG where GDAL now chooses SHORT (8 bytes
less a file), and because a header that changes only in its tie point can be packed once for each tile.
"""

import struct
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shards.layout.record import PATCH_METRES

ROWS_PER_STRIP: Final = 34
"""Rows in a strip of a 10 m band: as many as fit into GDAL's 8 KiB; the smaller bands are one strip."""

_SHORT, _LONG, _DOUBLE, _ASCII = 3, 4, 12, 2
_CODES: Final = {_SHORT: "H", _LONG: "I", _DOUBLE: "d"}
_HEADER_BYTES, _ENTRY_BYTES = 8, 12

_Tag = tuple[int, int, tuple[float, ...] | bytes]


def encode_band(pixels: NDArray[np.uint16], *, layout: str, epsg: int, ulx: int, uly: int) -> bytes:
    """Return the file of one band.

    Args:
        pixels: square band, (size, size) uint16; its size tells the resolution.
        layout: `v1` or `v2`, which differ in the nodata tag and in the type of the strip sizes.
        epsg: EPSG code of a northern UTM zone (32601–32660).
        ulx: easting of the upper-left corner, in metres.
        uly: northing of the upper-left corner, in metres.
    """
    head, tie_point = _header(layout, len(pixels), epsg)
    corner = struct.pack("<2d", ulx, uly)
    return b"".join((head[:tie_point], corner, head[tie_point + len(corner) :], pixels.astype("<u2").tobytes()))


@cache
def _header(layout: str, size: int, epsg: int) -> tuple[bytes, int]:
    """Return what precedes the pixels, with the corner at (0, 0), and the place of the corner's two doubles."""
    rows = min(size, ROWS_PER_STRIP) if size * size * 2 > 1 << 13 else size
    strips = tuple(min(rows, size - row) * size * 2 for row in range(0, size, rows))
    citation = f"WGS 84 / UTM zone {epsg - 32600}N|"
    # Key, place (0: the value itself; 34737: the text tag), count, value or offset.
    geokeys = (
        *(1, 1, 0, 7),
        *(1024, 0, 1, 1),  # projected
        *(1025, 0, 1, 1),  # a pixel is an area
        *(1026, 34737, len(citation), 0),
        *(2049, 34737, 7, len(citation)),
        *(2054, 0, 1, 9102),  # degrees
        *(3072, 0, 1, epsg),
        *(3076, 0, 1, 9001),  # metres
    )
    metres = PATCH_METRES // size
    counts_type = _SHORT if layout == "v2" and len(strips) > 1 else _LONG
    tags: list[_Tag] = [
        (256, _SHORT, (size,)),  # width
        (257, _SHORT, (size,)),  # height
        (258, _SHORT, (16,)),  # bits
        (259, _SHORT, (1,)),  # uncompressed
        (262, _SHORT, (1,)),  # black is zero
        (273, _LONG, (0,) * len(strips)),  # strip places, known at the end
        (277, _SHORT, (1,)),  # samples
        (278, _SHORT, (rows,)),
        (279, counts_type, strips),
        (284, _SHORT, (1,)),  # one plane
        (339, _SHORT, (1,)),  # unsigned
        (33550, _DOUBLE, (metres, metres, 0)),
        (33922, _DOUBLE, (0, 0, 0, 0, 0, 0)),
        (34735, _SHORT, geokeys),
        (34737, _ASCII, f"{citation}WGS 84|\0".encode()),
    ]
    if layout == "v2":
        tags.append((42113, _ASCII, b"0\0"))  # nodata

    # GDAL places the strip sizes before the strip places, everything else in the order of the tags.
    places: dict[int, int] = {}
    end = _HEADER_BYTES + 2 + _ENTRY_BYTES * len(tags) + 4
    for tag, kind, values in sorted(tags, key=lambda entry: (entry[0] != 279, entry[0])):
        if (length := len(_pack(kind, values))) > 4:
            places[tag] = end
            end += length

    head = bytearray(end)
    struct.pack_into("<2sHIH", head, 0, b"II", 42, _HEADER_BYTES, len(tags))
    for i, (tag, kind, values) in enumerate(tags):
        if tag == 273:
            values = tuple(end + sum(strips[:strip]) for strip in range(len(strips)))
        data = _pack(kind, values)
        entry = _HEADER_BYTES + 2 + _ENTRY_BYTES * i
        struct.pack_into("<HHI", head, entry, tag, kind, len(values))
        if tag in places:
            struct.pack_into("<I", head, entry + 8, places[tag])
        start = places.get(tag, entry + 8)
        head[start : start + len(data)] = data
    return bytes(head), places[33922] + 3 * 8


def _pack(kind: int, values: tuple[float, ...] | bytes) -> bytes:
    """Return the bytes of a tag's values."""
    return values if isinstance(values, bytes) else struct.pack(f"<{len(values)}{_CODES[kind]}", *values)
