"""TIFF files tag by tag: those of BigEarthNet, and those that differ from them in anything a reader may meet."""

import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from shards.layout.record import RecordGroup

BYTE, ASCII, SHORT, LONG, RATIONAL, SBYTE, UNDEFINED, SSHORT, SLONG, SRATIONAL, FLOAT, DOUBLE = range(1, 13)
IFD, LONG8, SLONG8, IFD8 = 13, 16, 17, 18
_CODES = {BYTE: "B", ASCII: "s", SHORT: "H", LONG: "I", RATIONAL: "II", SBYTE: "b", UNDEFINED: "s", SSHORT: "h"}
_CODES |= {SLONG: "i", SRATIONAL: "ii", FLOAT: "f", DOUBLE: "d", IFD: "I", LONG8: "Q", SLONG8: "q", IFD8: "Q"}
Values = Sequence[float] | bytes
CITATION = "WGS 84 / UTM zone 33N|"


@dataclass(frozen=True)
class Tag:
    """A tag; `kind` is its type, and `count` is what the file says if that is not the number of values."""

    number: int
    kind: int
    values: Values
    count: int | None = None

    def packed(self, order: str) -> bytes:
        """Return the bytes of the values; a value that the type cannot hold is cut."""
        if isinstance(self.values, bytes):
            return self.values
        code = _CODES.get(self.kind, "I")
        if code == "s":
            return bytes(int(value) & 0xFF for value in self.values)
        if code in ("f", "d"):
            with np.errstate(over="ignore"):
                return np.array(self.values, f"{order}f{4 if code == 'f' else 8}").tobytes()
        size, name = struct.calcsize(f"<{code[0]}"), "little" if order == "<" else "big"
        numbers = [int(value) if np.isfinite(value) else 0 for value in self.values]
        one = (1).to_bytes(size, name) if len(code) == 2 else b""  # The denominator of a rational number.
        return b"".join((number & (1 << 8 * size) - 1).to_bytes(size, name) + one for number in numbers)


@dataclass(frozen=True)
class Tiff:
    """A file to be: the tags of its directory, its pixels, and how it is put together."""

    tags: tuple[Tag, ...]
    pixels: bytes
    order: str = "<"
    gap: int = 0  # bytes between the values of tags
    values_last: bool = False  # behind the pixels
    next_ifd: int = 0
    cut: int | None = None
    tail: bytes = b""
    shift: int = 0  # of the strips, from where the pixels are
    offsets: Callable[[list[int]], list[int]] = field(default=lambda offsets: offsets)

    def encode(self) -> bytes:
        """Return the bytes of the file."""
        end = 8 + 2 + 12 * len(self.tags) + 4
        packed = [tag.packed(self.order) for tag in self.tags]
        length = sum(len(data) + self.gap for data in packed if len(data) > 4)
        pixels_at = end if self.values_last else end + length
        strips = next((tag.values for tag in self.tags if tag.number == 279), ())
        starts = [pixels_at + self.shift + int(sum(strips[:i])) for i in range(len(strips))]
        at = end + len(self.pixels) if self.values_last else end
        directory, values = b"", b""
        for tag, data in zip(self.tags, packed, strict=True):
            if tag.number == 273 and len(tag.values) == len(starts):
                data = replace(tag, values=self.offsets(starts)).packed(self.order)
            size = max(struct.calcsize(f"<{_CODES.get(tag.kind, 'I')}"), 1)
            count = tag.count if tag.count is not None else len(data) // size
            directory += struct.pack(f"{self.order}HHI", tag.number, tag.kind, count)
            if len(data) > 4:
                directory += struct.pack(f"{self.order}I", at + len(values))
                values += data + bytes(self.gap)
            else:
                directory += data.ljust(4, b"\0")
        head = (b"II*\0" if self.order == "<" else b"MM\0*") + struct.pack(f"{self.order}I", 8)
        head += struct.pack(f"{self.order}H", len(self.tags)) + directory
        head += struct.pack(f"{self.order}I", self.next_ifd)
        content = head + (self.pixels + values if self.values_last else values + self.pixels) + self.tail
        return content[: self.cut]


def official(group: RecordGroup, pixels: bytes, *, ulx: float = 399_960, uly: float = 5_300_040) -> Tiff:
    """Return a file as those of BigEarthNet v2 are."""
    rows = 34 if group.size > 60 else group.size
    strips = [2 * group.size * min(rows, group.size - row) for row in range(0, group.size, rows)]
    tags = [
        *(Tag(256, SHORT, [group.size]), Tag(257, SHORT, [group.size]), Tag(258, SHORT, [16]), Tag(259, SHORT, [1])),
        *(Tag(262, SHORT, [1]), Tag(273, LONG, [0] * len(strips)), Tag(277, SHORT, [1]), Tag(278, SHORT, [rows])),
        *(Tag(279, LONG, strips), Tag(284, SHORT, [1]), Tag(339, SHORT, [1])),
        *(Tag(33550, DOUBLE, [group.metres, group.metres, 0]), Tag(33922, DOUBLE, [0, 0, 0, ulx, uly, 0])),
        *(Tag(34735, SHORT, geo_keys()), Tag(34737, ASCII, f"{CITATION}WGS 84|\0".encode()), Tag(42113, ASCII, b"0\0")),
    ]
    return Tiff(tuple(tags), pixels)


def geo_keys(changes: dict[int, int | None] | None = None, header: Sequence[int] = (1, 1, 0)) -> list[int]:
    """Return a GeoKey directory: that of UTM zone 33N, with values of keys changed, added or (None) removed."""
    keys: dict[int, tuple[int, int, int]] = {
        1024: (0, 1, 1),
        1025: (0, 1, 1),
        1026: (34737, len(CITATION), 0),
        2049: (34737, 7, len(CITATION)),
        2054: (0, 1, 9102),
        3072: (0, 1, 32633),
        3076: (0, 1, 9001),
    }
    for key, value in (changes or {}).items():
        if value is None:
            keys.pop(key, None)
        else:
            keys[key] = (0, 1, value)
    return [*header, len(keys), *(number for key in sorted(keys) for number in (key, *keys[key]))]


def with_tag(tiff: Tiff, tag: Tag) -> Tiff:
    """Return the file with a tag in place of that of its number, or added in order."""
    others = [other for other in tiff.tags if other.number != tag.number]
    return replace(tiff, tags=tuple(sorted([*others, tag], key=lambda other: other.number)))


_SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, 1e-300, 1e300, -1e300, float("nan"), float("inf"), float("-inf"), 5e5, 2.5e7]
_NEW = [
    *(Tag(274, SHORT, [value]) for value in (0, 1, 3, 6, 8, 9)),
    *(Tag(266, SHORT, [value]) for value in (1, 2)),
    *(Tag(254, LONG, [value]) for value in (0, 1, 2, 4)),
    *(Tag(317, SHORT, [value]) for value in (1, 2, 3, 9)),
    *(Tag(296, SHORT, [2]), Tag(282, RATIONAL, [72]), Tag(320, SHORT, [0] * 768), Tag(338, SHORT, [0])),
    *(Tag(305, ASCII, b"software\0"), Tag(305, ASCII, b"\xff\xfe\x1b[31m"), Tag(306, ASCII, b"2017\0")),
    *(Tag(42112, ASCII, b"<GDALMetadata><Item name='a'>1</Item></GDALMetadata>\0"), Tag(42112, ASCII, b"<GDAL<\0")),
    *(Tag(42113, ASCII, text) for text in (b"0\0", b"nan\0", b"-1\0", b"70000\0", b"\xff\0", b"0", b"0.0000000000\0")),
    *(Tag(322, SHORT, [16]), Tag(323, SHORT, [16]), Tag(330, LONG, [8]), Tag(347, UNDEFINED, b"\xff\xd8\xff\xd9")),
    Tag(34264, DOUBLE, [10, 0, 0, 4e5, 0, -10, 0, 5e6, 0, 0, 0, 0, 0, 0, 0, 1]),
    Tag(34264, DOUBLE, [10, 3, 0, 4e5, 3, -10, 0, 5e6, 0, 0, 0, 0, 0, 0, 0, 1]),
    *(Tag(34736, DOUBLE, [500_000.0, 0.9996]), Tag(65000, LONG, [1]), Tag(33432, ASCII, b"\xc3\0")),
]
_GEO_CHANGES: list[dict[int, int | None]] = [
    *({3072: code} for code in (32733, 32600, 32661, 32634, 4326, 3035, 2225, 27700, 3857, 3413, 2193, 0, 1, 32767)),
    *({1024: value} for value in (0, 2, 3, 32767, None)),
    *({1025: value} for value in (0, 2, 3, 32767, None)),
    *({3076: value} for value in (9002, 9003, 9036, 0, 32767, None)),
    *({1024: 2, 3072: None, 2048: 4326}, {2048: 4326}, {2048: 4258}, {2054: None}, {2054: 9101}, {4096: 5773}),
    *({1026: None}, {2049: None}, {3073: 0}, {3072: None}, {3072: 32767, 3074: 16033, 2048: 4326}, {5000: 1}),
]
_TEXTS = [
    *(b"WGS 84 / UTM zone 34N|WGS 84|\0", b"LUnits = US survey foot|WGS 84|\0\0\0", b"\xff" * 29 + b"\0", b"|" * 30),
    *(
        b"IMAGINE GeoTIFF Support|WGS 8|",
        b"",
        b"\0" * 30,
        b"WGS 84 / UTM zone 33N|WGS 84|",
        b"ESRI PE String = X|||||||||||\0",
    ),
]


def mutate(tiff: Tiff, rng: random.Random) -> Tiff:
    """Return a file that differs in one thing that writers, editors or damage change."""
    tags = list(tiff.tags)
    at = rng.randrange(len(tags))
    tag = tags[at]
    many = not isinstance(tag.values, bytes) and len(tag.values) > 1
    numbers = [] if isinstance(tag.values, bytes) else list(tag.values)

    def put(changed: Tag) -> Tiff:
        return replace(tiff, tags=(*tags[:at], changed, *tags[at + 1 :]))

    match rng.randrange(20):
        case 0:
            return put(replace(tag, kind=rng.choice([*_CODES, 0, 14, 99])))
        case 1:
            other = rng.choice(tags)
            tags.insert(rng.randrange(len(tags) + 1), rng.choice([tag, replace(other, number=tag.number)]))
        case 2:
            rng.shuffle(tags)
        case 3:
            other_at = rng.randrange(len(tags))
            tags[at], tags[other_at] = tags[other_at], tags[at]
        case 4:
            del tags[at]
        case 5 | 6:
            return with_tag(tiff, rng.choice(_NEW))
        case 7:
            tags.append(rng.choice(_NEW))
        case 8:
            return put(replace(tag, count=rng.choice([0, 1, 2, len(tag.values) + 1, 4096, 1 << 20, (1 << 32) - 1])))
        case 9 if numbers:
            numbers[rng.randrange(len(numbers))] = rng.choice([0, 1, 2, 3, 8, 32, 34, 255, 65_535, (1 << 32) - 1, -1])
            return put(replace(tag, values=numbers))
        case 10 if many:
            return put(replace(tag, values=rng.choice([numbers[:-1], numbers[:1], numbers * 2, numbers[::-1]])))
        case 11:
            return with_tag(
                tiff, Tag(278, rng.choice([SHORT, LONG]), [rng.choice([0, 1, 7, 34, 65_535, (1 << 32) - 1])])
            )
        case 12:
            place = [0.0, 0.0, 0.0, 399_960.0, 5_300_040.0, 0.0]
            place[rng.randrange(6)] = rng.choice(_SPECIAL)
            more = [*place, 1.0, 1.0, 0.0, 4e5, 5e6, 0.0]
            return with_tag(tiff, Tag(33922, DOUBLE, rng.choice([place, place, place, more, more + place, place[:5]])))
        case 13:
            scale = [*next((tag.values for tag in tags if tag.number == 33550), [10.0, 10.0, 0.0])]
            changed = rng.randrange(len(scale)) if scale else 0
            scale[changed : changed + 1] = [rng.choice([*_SPECIAL, -scale[changed] if scale else 0.0, 1 + 1e-12])]
            return with_tag(tiff, Tag(33550, DOUBLE, rng.choice([scale, scale, scale[:2]])))
        case 14 | 15:
            header = rng.choice([(1, 1, 0), (1, 1, 0), (1, 1, 0), (1, 1, 1), (1, 2, 0), (2, 1, 0), (0, 0, 0)])
            keys = geo_keys(rng.choice([{}, *_GEO_CHANGES]), header)
            if rng.random() < 0.1:
                keys[3] = rng.choice([0, 1, keys[3] - 1, keys[3] + 1, 65_535])
            return with_tag(tiff, Tag(34735, SHORT, keys))
        case 16:
            return with_tag(tiff, Tag(34737, ASCII, rng.choice(_TEXTS)))
        case 17:
            return replace(tiff, next_ifd=rng.choice([8, 2, 10, 100, len(tiff.pixels), (1 << 32) - 1]))
        case 18:
            return replace(
                tiff,
                gap=rng.choice([0, 1, 2, 5]),
                order=rng.choice(["<", "<", ">"]),
                values_last=rng.random() < 0.3,
                tail=rng.choice([b"", b"\0", b"x" * 100]),
                cut=rng.choice([None, None, 200, 395, len(tiff.pixels), len(tiff.pixels) + 300]),
            )
        case _:
            change: Callable[[list[int]], list[int]] = rng.choice(
                [
                    lambda offsets: offsets[::-1],
                    lambda offsets: [offsets[0]] * len(offsets),
                    lambda offsets: [offset + 2 for offset in offsets],
                    lambda offsets: [0] * len(offsets),
                    lambda offsets: [8] * len(offsets),
                    lambda offsets: [(1 << 32) - 2] * len(offsets),
                ]
            )
            return replace(tiff, offsets=change)
    return replace(tiff, tags=tuple(tags))
