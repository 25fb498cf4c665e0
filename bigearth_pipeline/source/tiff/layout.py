"""The layout of BigEarthNet's own band files: uncompressed little-endian TIFF of contiguous strips, then nothing.

Both versions of BigEarthNet were written by GDAL, so all their files have the same tags, of few types, in one order. A
file that differs in any of them is not an error here; it is one for GDAL, which knows what a reader must accept.
"""

import struct
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

from bigearth_pipeline.errors import BadPatch
from shards.layout.record import RecordGroup

# TIFF 6.0 tags, and those of GeoTIFF 1.1 (OGC 19-008r4) and GDAL.
_WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIP_OFFSETS, _SAMPLES, _ROWS_PER_STRIP, _STRIP_BYTES, _PLANAR, _SAMPLE_FORMAT = 273, 277, 278, 279, 284, 339
_PIXEL_SCALE, _TIE_POINT, _GEO_KEYS, _GEO_TEXT, _NODATA = 33550, 33922, 34735, 34737, 42113
_TAGS: Final = (
    *(_WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC, _STRIP_OFFSETS, _SAMPLES, _ROWS_PER_STRIP, _STRIP_BYTES),
    *(_PLANAR, _SAMPLE_FORMAT, _PIXEL_SCALE, _TIE_POINT, _GEO_KEYS, _GEO_TEXT),
)
_ASCII, _SHORT, _LONG, _DOUBLE = 2, 3, 4, 12
_CODES: Final = {_ASCII: "s", _SHORT: "H", _LONG: "I", _DOUBLE: "d"}
_KINDS: Final = {
    **dict.fromkeys((_WIDTH, _LENGTH, _STRIP_OFFSETS, _ROWS_PER_STRIP, _STRIP_BYTES), (_SHORT, _LONG)),
    **dict.fromkeys((_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANAR, _SAMPLE_FORMAT, _GEO_KEYS), (_SHORT,)),
    **dict.fromkeys((_PIXEL_SCALE, _TIE_POINT), (_DOUBLE,)),
    **dict.fromkeys((_GEO_TEXT, _NODATA), (_ASCII,)),
}
_TIE_POINT_VALUES: Final = 6
TIE_POINT_BYTES: Final = 8 * _TIE_POINT_VALUES


@dataclass(frozen=True, slots=True)
class Layout:
    """Positions of the parts of a file that can take the short way.

    Attributes:
        head_bytes: bytes before the first pixel.
        file_bytes: bytes of the file, which ends with the last pixel.
        fixed: start, end and content of the bytes that make it this layout: all tags, and the values of those that
            decide what the pixels are and how large.
        place_at: offset of the bytes that say where the patch lies: tie point, GeoKey directory and its text.
        place_end: offset of their end.
    """

    head_bytes: int
    file_bytes: int
    fixed: tuple[tuple[int, int, bytes], ...]
    place_at: int
    place_end: int

    def fits(self, head: bytearray) -> bool:
        """Tell whether a file with this head has the same layout."""
        # One span in the usual files, for which a generator would take twice the time.
        for start, end, wanted in self.fixed:  # noqa: SIM110
            if head[start:end] != wanted:
                return False
        return True


def parse_layout(path: str, content: bytes, group: RecordGroup, max_head: int) -> Layout | None:
    """Return the layout of a file that can take the short way, None for any other.

    Args:
        path: name of the file, for messages.
        content: its bytes.
        group: resolution that the file should have.
        max_head: longest head that the reader has room for, in bytes.

    Raises:
        BadPatch: the file has the layout but ends before its last pixel.
    """
    try:
        layout = _parse(content, group, max_head)
    except (struct.error, ValueError, ArithmeticError, LookupError):
        return None
    if layout is None or len(content) > layout.file_bytes:
        return None
    if len(content) < layout.file_bytes:
        raise BadPatch(f"{path} ends after {len(content)} bytes, expected {layout.file_bytes}")
    return layout


def _parse(content: bytes, group: RecordGroup, max_head: int) -> Layout | None:
    if content[:4] != b"II*\0":
        return None
    (ifd,) = struct.unpack_from("<I", content, 4)
    (num_tags,) = struct.unpack_from("<H", content, ifd)
    if num_tags not in (len(_TAGS), len(_TAGS) + 1):
        return None
    end = ifd + 2 + 12 * num_tags + 4
    entries = list(struct.iter_unpack("<HHII", content[ifd + 2 : end - 4]))
    tags = tuple(tag for tag, _, _, _ in entries)
    if tags not in (_TAGS, (*_TAGS, _NODATA)) or struct.unpack_from("<I", content, end - 4) != (0,):
        return None
    values: dict[int, tuple[Any, ...]] = {}
    spans: dict[int, tuple[int, int]] = {}
    for i, (tag, kind, count, offset) in enumerate(entries):
        form = f"<{count}{_CODES[kind]}"
        length = struct.calcsize(form)
        if kind not in _KINDS[tag] or not 0 < length < max_head:
            return None
        start = offset if length > 4 else ifd + 2 + 12 * i + 8
        values[tag] = struct.unpack_from(form, content, start)
        spans[tag] = (start, start + length)
    head_bytes: int = values[_STRIP_OFFSETS][0]
    tie_point, keys, text = spans[_TIE_POINT], spans[_GEO_KEYS], spans[_GEO_TEXT]
    metres = float(group.metres)
    if (
        any(values[tag] != wanted for tag, wanted in _wanted(values, group).items())
        or values[_PIXEL_SCALE] != (metres, metres, 0.0)
        or len(values[_TIE_POINT]) != _TIE_POINT_VALUES
        # Compared in one piece; the number of keys in it says where the text begins.
        or (tie_point[1], keys[1]) != (keys[0], text[0])
        or len(values[_GEO_KEYS]) != 4 + 4 * values[_GEO_KEYS][3]
        or values.get(_NODATA, (b"0\0",)) != (b"0\0",)
        # All but the pixels lies before them, so that one read fetches both.
        or not max(end, *(stop for _, stop in spans.values())) <= head_bytes <= max_head
    ):
        return None
    outside = [spans[tag] for tag in (_STRIP_OFFSETS, _STRIP_BYTES, _PIXEL_SCALE)]
    return Layout(
        head_bytes=head_bytes,
        file_bytes=head_bytes + 2 * group.band_values,
        fixed=tuple((start, stop, content[start:stop]) for start, stop in _merged([(0, 8), (ifd, end), *outside])),
        place_at=tie_point[0],
        place_end=text[1],
    )


def _wanted(values: dict[int, tuple[Any, ...]], group: RecordGroup) -> dict[int, tuple[Any, ...]]:
    """Return what the tags of the pixels must be: 16-bit unsigned integers, black is 0, uncompressed, contiguous."""
    (rows,), offset = values[_ROWS_PER_STRIP], values[_STRIP_OFFSETS][0]
    lengths = [2 * group.size * min(rows, group.size - start) for start in range(0, group.size, rows)]
    return {
        _WIDTH: (group.size,),
        _LENGTH: (group.size,),
        _BITS: (16,),
        _COMPRESSION: (1,),
        _PHOTOMETRIC: (1,),
        _STRIP_OFFSETS: tuple(accumulate(lengths[:-1], initial=offset)),
        _SAMPLES: (1,),
        _STRIP_BYTES: tuple(lengths),
        _PLANAR: (1,),
        _SAMPLE_FORMAT: (1,),
    }


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return spans in order, those that touch or overlap as one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
