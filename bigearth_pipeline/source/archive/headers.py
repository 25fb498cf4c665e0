"""Headers of tar members as GNU tar, BSD tar and Python write them: what a member is called, is, and how long it is.

Layout: POSIX.1-1988 (ustar), POSIX.1-2001 (pax), and GNU tar's own (long names, numbers of base 256, sparse files), see
"Basic Tar Format" of the GNU tar manual. Python's `tarfile` takes five times as long for a header, which is more than
decompression takes for the member; that both read the same is what the tests show.
"""

import struct
import zlib
from enum import Enum
from functools import lru_cache
from typing import Final, NamedTuple

from bigearth_pipeline.errors import PipelineError
from shards.reporting import printable

BLOCK: Final = 512
TYPE_AT: Final = 156
"""Offset of the byte that says which kind of header a block is."""
LONG_NAME_TYPE: Final = ord("L")
MAX_EXTENDED: Final = 1 << 20
"""Bytes of an extended header or a long name, at most; longer ones are no names."""

_FIELDS: Final = struct.Struct("100s 24x 12s 12s 8s c 100s 6s 82x 155s 12x")
"""Name, size, time, checksum, type, link, magic and prefix."""
_HALF: Final = BLOCK // 2
_BLANK_SUM: Final = 8 * ord(" ")
_NANO: Final = 1_000_000_000


class Kind(Enum):
    """The kind of thing that a header describes; the value is its name in messages."""

    FILE = "a regular file"
    FOLDER = "a folder"
    HARD_LINK = "a hard link"
    SYMBOLIC_LINK = "a symbolic link"
    DEVICE = "a device"
    PIPE = "a named pipe"
    SPARSE = "a sparse file"
    OTHER = "of an unknown type"
    # What follows describes the next member, or nothing.
    LONG_NAME = "a long name"
    LONG_LINK = "a long link"
    PAX = "an extended header"
    PAX_GLOBAL = "a global extended header"
    LABEL = "a volume label"


_KINDS: Final = {
    **dict.fromkeys((b"0", b"\0", b"7"), Kind.FILE),
    b"1": Kind.HARD_LINK,
    b"2": Kind.SYMBOLIC_LINK,
    b"3": Kind.DEVICE,
    b"4": Kind.DEVICE,
    b"5": Kind.FOLDER,
    b"6": Kind.PIPE,
    b"S": Kind.SPARSE,
    b"L": Kind.LONG_NAME,
    b"K": Kind.LONG_LINK,
    b"x": Kind.PAX,
    b"X": Kind.PAX,
    b"g": Kind.PAX_GLOBAL,
    b"V": Kind.LABEL,
    b"D": Kind.FOLDER,
}
WITHOUT_DATA: Final = (Kind.HARD_LINK, Kind.SYMBOLIC_LINK, Kind.DEVICE, Kind.PIPE)
"""Kinds whose size field counts nothing that follows. A folder of GNU tar's type `D` has data, others of size 0."""


class Header(NamedTuple):
    """A header block.

    Attributes:
        name: path of the member.
        kind: what it is.
        size: bytes that follow.
        mtime_ns: modification time, in nanoseconds.
        link: target of a link.
        continues: further blocks of a sparse map follow.
    """

    name: str
    kind: Kind
    size: int
    mtime_ns: int
    link: str
    continues: bool


class BadHeader(PipelineError):
    """A block is no header, or says what cannot be; the message is what is wrong with it."""


def parse_header(block: bytes) -> Header:
    """Parse a block that is not all zeros.

    Args:
        block: 512 bytes.

    Raises:
        BadHeader: its checksum is not its own, or a number is none.
    """
    raw_name, raw_size, raw_mtime, checksum, type_, link, magic, prefix = _FIELDS.unpack(block)
    stated = _number(checksum, "checksum")
    if stated != _sum(block) - sum(checksum) + _BLANK_SUM and stated != _signed_sum(block):
        raise BadHeader("its checksum does not fit, so it is damaged or no tar header")
    name = _text(raw_name)
    # GNU tar has times of access in the place of the prefix.
    if magic == b"ustar\0" and prefix[0]:
        name = f"{_text(prefix)}/{name}"
    kind = _KINDS.get(type_, Kind.OTHER)
    size = _number(raw_size, "size", name)
    if size < 0:
        raise BadHeader(f"member {printable(name)} has a size of {size}, expected 0 or more bytes")
    if kind in WITHOUT_DATA:
        size = 0
    mtime = _number(raw_mtime, "time", name)
    continues = kind is Kind.SPARSE and block[482] != 0
    return Header(name, kind, size, mtime * _NANO, _text(link) if link[0] else "", continues)


@lru_cache(maxsize=64)
def parse_repeated(block: bytes) -> Header:
    """Parse a header as `parse_header`; for those that an archive repeats, as GNU tar does those of long names."""
    return parse_header(block)


def parse_pax(content: bytes) -> dict[str, str]:
    """Return the records of an extended header: `LENGTH KEY=VALUE` and a line feed each.

    Raises:
        BadHeader: they are none.
    """
    records: dict[str, str] = {}
    at = 0
    while at < len(content) and content[at]:
        blank = content.find(b" ", at, at + 20)
        digits = content[at:blank] if blank > at else b""
        end = at + int(digits) if digits.isdigit() else -1
        key, equals, value = content[blank + 1 : end - 1].partition(b"=")
        if not blank < end <= len(content) or content[end - 1 : end] != b"\n" or not equals:
            raise BadHeader("an extended header (pax) has a record that is none")
        records[key.decode("utf-8", "surrogateescape")] = value.decode("utf-8", "surrogateescape")
        at = end
    return records


def pax_size(text: str) -> int:
    """Return the size that an extended header says.

    Raises:
        BadHeader: it is no number of bytes.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise BadHeader(f"an extended header (pax) says a size of {printable(text[:40])}, expected 0 or more bytes")
    return int(text)


def pax_time(text: str) -> int | None:
    """Return the time that an extended header says, in nanoseconds; None if it is none."""
    whole, _, fraction = text.partition(".")
    sign = -1 if whole.startswith("-") else 1
    digits = whole.removeprefix("-")
    if not (text.isascii() and digits.isdigit() and len(digits) < 20 and (fraction.isdigit() or not fraction)):
        return None
    return sign * (int(digits) * _NANO + int(fraction[:9].ljust(9, "0") or 0))


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _number(field: bytes, what: str, name: str = "") -> int:
    """Return a number in octal digits, or of base 256 as GNU tar writes those that are too large or negative."""
    if field[0] in (0x80, 0xFF):
        return int.from_bytes(field, "big", signed=True) if field[0] == 0xFF else int.from_bytes(field[1:], "big")
    digits = field.partition(b"\0")[0].strip()
    try:
        return int(digits, 8) if digits else 0
    except ValueError:
        whose = f" of {printable(name)}" if name else ""
        raise BadHeader(f"the {what}{whose} is {printable(repr(digits)[1:])}, expected octal digits") from None


def _sum(block: bytes) -> int:
    """Return the sum of the bytes of a block.

    The low half of an Adler-32 is 1 and the sum of the bytes modulo 65,521 (RFC 1950, 8.2): exact for 256 bytes, and
    six times as fast as `sum`.
    """
    return (zlib.adler32(block[:_HALF]) & 0xFFFF) + (zlib.adler32(block[_HALF:]) & 0xFFFF) - 2


def _signed_sum(block: bytes) -> int:
    """Return the checksum of some old programs, which took bytes for signed ones."""
    others = block[:148] + block[156:]
    return sum(byte - 256 if byte > 127 else byte for byte in others) + _BLANK_SUM
