"""The layout of BigEarthNet's own band files: uncompressed little-endian TIFF, its strips one behind the other.

A file of another layout is not an error here; it is one for the general reader.
"""

import struct
from dataclasses import dataclass
from typing import Any, Final

from bigearth_pipeline.errors import BadPatch
from shards.bands import BandGroup

# TIFF 6.0 tags, and those of GeoTIFF 1.1 (OGC 19-008r4) and GDAL.
_WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIP_OFFSETS, _SAMPLES, _ROWS_PER_STRIP, _STRIP_BYTES, _PLANAR, _SAMPLE_FORMAT = 273, 277, 278, 279, 284, 339
_PIXEL_SCALE, _TIE_POINT, _GEO_KEYS = 33550, 33922, 34735
_REQUIRED: Final = {
    _BITS: 16,
    _COMPRESSION: 1,  # none
    _PHOTOMETRIC: 1,  # black is zero
    _SAMPLES: 1,
    _PLANAR: 1,
    _SAMPLE_FORMAT: 1,  # unsigned integer
}
_DEFAULTS: Final = {_COMPRESSION: 1, _SAMPLES: 1, _PLANAR: 1, _SAMPLE_FORMAT: 1}
# Tags that do not change the pixels: subfile type 0, software, date, georeference, GDAL metadata and nodata.
_HARMLESS: Final = {305, 306, _PIXEL_SCALE, _TIE_POINT, _GEO_KEYS, 34736, 34737, 42112, 42113}
_KNOWN: Final = {*_REQUIRED, _WIDTH, _LENGTH, _STRIP_OFFSETS, _ROWS_PER_STRIP, _STRIP_BYTES, *_HARMLESS}

_TYPES: Final = {2: "s", 3: "H", 4: "I", 12: "d"}  # ASCII, SHORT, LONG, DOUBLE
_MODEL_TYPE_KEY, _RASTER_TYPE_KEY, _PROJECTED_CRS_KEY = 1024, 1025, 3072


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are in a file that can take the short way.

    Attributes:
        head_bytes: bytes before the first pixel.
        file_bytes: bytes up to the last pixel.
        fixed: start, end and content of the bytes that make it this layout.
        scale_at: place of the pixel scale in the head.
        tie_point_at: place of the tie point in the head.
        geo_keys_at: place of the GeoKey directory in the head.
        geo_keys_bytes: its length.
    """

    head_bytes: int
    file_bytes: int
    fixed: tuple[tuple[int, int, bytes], ...]
    scale_at: int
    tie_point_at: int
    geo_keys_at: int
    geo_keys_bytes: int

    def fits(self, head: bytearray) -> bool:
        """Tell whether a file with this head has the same layout."""
        return all(head[start:end] == wanted for start, end, wanted in self.fixed)


def parse_layout(path: str, content: bytes, group: BandGroup, max_head: int) -> Layout | None:
    """Return the layout of a file that can take the short way, None for any other.

    Args:
        path: name of the file, for messages.
        content: its bytes.
        group: resolution that the file should have.
        max_head: longest head that the reader has room for, in bytes.

    Raises:
        BadPatch: the file has the layout but ends before its last pixel.
    """
    if content[:4] != b"II*\0" or len(content) < 14:
        return None
    (ifd,) = struct.unpack_from("<I", content, 4)
    if ifd + 2 > len(content):
        return None
    (num_tags,) = struct.unpack_from("<H", content, ifd)
    end = ifd + 2 + 12 * num_tags + 4
    if end > len(content) or struct.unpack_from("<I", content, end - 4) != (0,):
        return None
    values: dict[int, tuple[Any, ...]] = {}
    places: dict[int, tuple[int, int]] = {}
    fixed = [(0, 8), (ifd, end)]
    for at in range(ifd + 2, end - 4, 12):
        tag, kind, count = struct.unpack_from("<HHI", content, at)
        if tag not in _KNOWN or kind not in _TYPES or not 0 < count < 4096:
            return None
        form = f"<{count}{_TYPES[kind]}"
        length = struct.calcsize(form)
        start = at + 8 if length <= 4 else struct.unpack_from("<I", content, at + 8)[0]
        if start + length > len(content):
            return None
        values[tag] = struct.unpack_from(form, content, start)
        places[tag] = (start, length)
        if length > 4 and tag not in _HARMLESS:
            fixed.append((start, start + length))
    data_bytes = 2 * group.band_values
    if (
        any(values.get(tag, (_DEFAULTS.get(tag),)) != (wanted,) for tag, wanted in _REQUIRED.items())
        or values.get(_WIDTH) != (group.size,)
        or values.get(_LENGTH) != (group.size,)
        or not _strips_are_contiguous(values, group)
        or len(values.get(_PIXEL_SCALE, ())) != 3
        or len(values.get(_TIE_POINT, ())) != 6
        or _GEO_KEYS not in values
    ):
        return None
    head_bytes: int = values[_STRIP_OFFSETS][0]
    # Everything but the pixels lies before them, so that one read fetches both.
    last = max(end, *(start + length for start, length in places.values()))
    if last > head_bytes or head_bytes > max_head:
        return None
    if head_bytes + data_bytes > len(content):
        raise BadPatch(f"{path} ends after {len(content)} bytes, expected {head_bytes + data_bytes}")
    return Layout(
        head_bytes=head_bytes,
        file_bytes=head_bytes + data_bytes,
        fixed=tuple((start, stop, content[start:stop]) for start, stop in fixed),
        scale_at=places[_PIXEL_SCALE][0],
        tie_point_at=places[_TIE_POINT][0],
        geo_keys_at=places[_GEO_KEYS][0],
        geo_keys_bytes=places[_GEO_KEYS][1],
    )


def _strips_are_contiguous(values: dict[int, tuple[Any, ...]], group: BandGroup) -> bool:
    (rows,) = values.get(_ROWS_PER_STRIP, (group.size,))
    offset = values.get(_STRIP_OFFSETS, (0,))[0]
    strips = []
    for start in range(0, group.size, max(rows, 1)):
        length = 2 * group.size * min(rows, group.size - start)
        strips.append((offset, length))
        offset += length
    return strips == list(zip(values.get(_STRIP_OFFSETS, ()), values.get(_STRIP_BYTES, ()), strict=False))


def projected_epsg(keys: bytes) -> int | None:
    """Return the EPSG code in a GeoKey directory, None if it is not that of a grid whose pixels are areas.

    The directory is a header of four SHORTs and then key, location, count and value of each key.
    """
    shorts = struct.unpack(f"<{len(keys) // 2}H", keys)
    entries = {shorts[i]: shorts[i + 3] for i in range(4, len(shorts) - 3, 4) if shorts[i + 1] == 0}
    epsg: int = entries.get(_PROJECTED_CRS_KEY, 0)
    # Model type 1: projected; raster type 1: pixel is area; code 32767: user-defined.
    if entries.get(_MODEL_TYPE_KEY) != 1 or entries.get(_RASTER_TYPE_KEY, 1) != 1 or not 0 < epsg < 32767:
        return None
    return epsg
