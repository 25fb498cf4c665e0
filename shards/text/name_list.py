"""Lists of patch names in text files: one reader for split lists, exclusion lists and lists of a training run.

A list has one patch a line, or is a table as spreadsheets and pandas write it: with or without a heading, an index
column, further columns, quotes, a byte-order mark, comments; columns are separated by comma, semicolon, tab or `|`.
Plain text, bzip2 and gzip are distinguished by content and suffix.
"""

import bz2
import codecs
import csv
import gzip
import re
import zlib
from collections.abc import Collection, Iterable, Iterator
from io import BufferedIOBase, RawIOBase, TextIOWrapper
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Final, TextIO

from shards.errors import BepError
from shards.storage.safe_open import open_regular_file

HEADINGS: Final = ("patch_id", "patch", "patch_name", "name", "key", "s2_name", "s2v1_name")
"""Headings of the column of names, in any case; of several in one table the first of these counts."""

MAX_LINES: Final = 2_000_000  # BigEarthNet v1 and v2 have 1,139,814 patches together.
MAX_BYTES: Final = 1 << 28  # Decompressed; a table of all v2 patches with all columns has half of it.
MAX_LINE: Final = 1 << 16  # bytes
SHOWN: Final = 3  # Names of a list in messages.

_DELIMITERS: Final = ",;\t|"
_PROBED: Final = 64  # Lines in which the separator is looked for.
_COMMENT: Final = re.compile(rf"\s#(?![{_DELIMITERS}])")  # `Row #,patch_id` is a heading.
_QUOTED: Final = re.compile(r'"[^"]*"')
_CONTROLS: Final = bytes({*range(32), 127} - {*b"\t\n\v\f\r"})
_AROUND: Final = " \t\v\f\r\n\xa0'\""  # Around a name.
_NAME: Final = re.compile(r"S[12][A-Z]_[A-Za-z0-9_-]+/?")
_SENTINEL2: Final = re.compile(r"S2[A-Z]_[A-Za-z0-9_-]+")
_MARK: Final = "\ufeff"
_EXCEL: Final = re.compile(rf"sep=[{_DELIMITERS}]\s*", re.IGNORECASE)  # Tells a spreadsheet the separator.
_NUMBER: Final = re.compile(r"\d+(\.0)?")
_UNNAMED: Final = re.compile(r"(unnamed: )?\d*")  # What pandas calls columns without names.


class BadNameList(BepError):
    """A list cannot be read, or names nothing; the message says what the fact is, and not which list it is."""


def read_names(path: Path, *, may_be_empty: bool = False) -> list[str]:
    """Return the patch names in a list, each once, in order.

    Blank lines, comments (from a `#` at the start of a line or after a space, to its end), headings and an index
    column are passed over; a folder before a name and a `/` after it are cut off.

    Args:
        path: the list.
        may_be_empty: a list without names is none, and not an error.

    Raises:
        BadNameList: the file cannot be read, is no text, is too long, has several patches in a row, or names none.
    """
    try:
        with open_regular_file(path) as file:
            start = file.read(4)
            file.seek(0)
            bounded: Any = _Bounded(_decompressed(file, path, start))
            with TextIOWrapper(bounded, "utf-8-sig") as text:
                names = list(dict.fromkeys(_names(_content_lines(text))))
    except UnicodeDecodeError as err:
        if err.object[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise BadNameList("cannot be read: it is UTF-16, expected text in UTF-8") from err
        raise BadNameList(f"cannot be read: {err}; expected text in UTF-8") from err
    except csv.Error as err:
        raise BadNameList("has a quote within a cell, or one that is not closed, expected a patch name a line") from err
    except (OSError, EOFError, zlib.error) as err:
        raise BadNameList(f"cannot be read: {getattr(err, 'strerror', None) or err}") from err
    if not names and not may_be_empty:
        raise BadNameList("names no patch, expected one a line, or a column patch_id")
    return names


def no_match(names: Collection[str], others: Collection[str], what: str) -> str:
    """Return that no name of a list is among others, with the first of both.

    Args:
        names: of the list.
        others: the names that there are.
        what: holds the others, such as `the store`.
    """
    return (
        f"none of its {len(names):,} names is in {what}: the list begins with {first_names(names)}; "
        f"{what} has {first_names(others)}"
    )


def first_names(names: Collection[str]) -> str:
    """Return the first names of many, for a message."""
    shown = ", ".join(name if len(name) <= 100 else f"{name[:100]}…" for name in islice(names, SHOWN))
    return (shown or "none") + (", …" if len(names) > SHOWN else "")


def _decompressed(file: IO[bytes], path: Path, start: bytes) -> BufferedIOBase:
    stream: Any = file
    if start[:2] == b"\x1f\x8b" or path.suffix == ".gz":
        stream = gzip.GzipFile(fileobj=file, mode="rb")
    elif start[:3] == b"BZh" or path.suffix == ".bz2":
        stream = bz2.BZ2File(file)
    return stream  # type: ignore[no-any-return]


class _Bounded(RawIOBase):
    """A stream that ends with an error where it is longer than a list can be."""

    def __init__(self, stream: BufferedIOBase) -> None:
        self._stream = stream
        self._left = MAX_BYTES
        self._line = 0  # Bytes since the last end of a line.

    def readable(self) -> bool:
        return True

    def read1(self, size: int = -1) -> bytes:
        """Return the next bytes; `TextIOWrapper` asks for them so."""
        part = self._stream.read1(size)
        self._left -= len(part)
        if self._left < 0:
            raise BadNameList(f"has more than {MAX_BYTES:,} bytes of text, expected a list of patch names")
        if len(part.translate(None, _CONTROLS)) != len(part):
            part.decode()  # Text in UTF-16 is full of zeros as well, and its fault is another one.
            bad = next(byte for byte in part if byte in _CONTROLS)
            raise BadNameList(f"is no text: it holds the byte {bad:#04x}, expected a patch name a line")
        end = max(part.rfind(b"\n"), part.rfind(b"\r"))
        self._line = len(part) - 1 - end + (0 if end >= 0 else self._line)
        if self._line > MAX_LINE:
            raise BadNameList(f"has a line of more than {MAX_LINE:,} bytes, expected a patch name a line")
        return part

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        return self.read1(size)


def _content_lines(text: TextIO) -> Iterator[str]:
    """Yield the lines of a text that are neither blank nor comments; one with an open quote includes the next ones."""
    row = ""
    for number, line in enumerate(text):
        if number == MAX_LINES:
            raise BadNameList(f"has more than {MAX_LINES:,} lines, expected a list of patch names")
        if line[0] == _MARK:  # Lists were joined, each with its mark.
            line = line.lstrip(_MARK)
        if row:
            if len(row) > MAX_LINE:
                raise BadNameList(f"has a quote that is not closed before line {number + 1:,}")
        elif not (bare := line.lstrip()) or bare[0] == "#" or _EXCEL.fullmatch(bare):
            continue
        row = _without_comment(row + line)
        if '"' not in row or row.count('"') % 2 == 0:
            yield row.rstrip("\n")
            row = ""
    if row:
        raise BadNameList("has a quote that is not closed, expected a patch name a line")


def _without_comment(row: str) -> str:
    """Return a row without a comment at its end; a `#` in quotes begins none."""
    if "#" in row:
        for match in _COMMENT.finditer(row):
            if row.count('"', 0, match.start()) % 2 == 0:
                return row[: match.start()]
    return row


def _names(lines: Iterator[str]) -> Iterator[str]:
    """Yield the names in content lines."""
    first = list(islice(lines, _PROBED))
    delimiter = _delimiter(first)
    column, has_heading = _column(_cells(first[0], delimiter)) if first else (0, False)
    heading = first[0] if has_heading else None
    if heading is None:
        for line in first:
            _check_alone(line, delimiter)
    if column is None:
        # A heading without a word for names: the first row tells where they are.
        column = (_column(_cells(first[1], delimiter))[0] if len(first) > 1 else 0) or 0
    for line in chain(first, lines):
        if line == heading:
            continue  # Also where lists were joined with their headings.
        cells = line.split(delimiter) if '"' not in line else _cells(line, delimiter)
        if len(cells) <= column:
            raise BadNameList(f"has the row {line[:100]!r}, expected a patch name in column {column + 1}")
        name = cells[column].strip(_AROUND).rstrip("/\\")
        if "/" in name or "\\" in name:
            name = name.replace("\\", "/").rpartition("/")[2]
        if "\n" in name:
            raise BadNameList(f"has a quote that is not closed at {name[:100]!r}, expected a patch name a line")
        if name:
            yield name


def _check_alone(line: str, delimiter: str) -> None:
    """Refuse a row of several patches, of which one would be read; names of Sentinel-1 may stand beside a patch."""
    names = {cell.rstrip("/\\") for cell in _cells(line, delimiter)} if delimiter in line else set()
    if sum(_SENTINEL2.fullmatch(name) is not None for name in names) > 1:
        raise BadNameList(f"has several patches in the row {line[:100]!r}, expected a patch name a line")


def _cells(line: str, delimiter: str) -> list[str]:
    """Return the cells of a line without the quotes around them."""
    return [cell.strip(_AROUND) for cell in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True))]


def _delimiter(lines: Iterable[str]) -> str:
    """Return the separator of columns, as the first line tells it that has any outside of quotes.

    It is one that parts a patch name or a heading from the other cells, and of several the most frequent: names of
    classes hold commas.
    """
    for line in lines:
        bare = _QUOTED.sub("", line.strip())
        counts = {delimiter: bare.count(delimiter) for delimiter in _DELIMITERS if delimiter in bare}
        if counts:
            return max(counts, key=lambda delimiter: (_has_name(line, delimiter), counts[delimiter]))
    return ","


def _has_name(line: str, delimiter: str) -> bool:
    cells = (cell.replace("\\", "/").rstrip("/").rpartition("/")[2] for cell in _cells(line, delimiter))
    return any(_NAME.fullmatch(cell) or cell.lower() in HEADINGS for cell in cells)


def _column(row: list[str]) -> tuple[int | None, bool]:
    """Return the column of names as a row tells it (None where it does not), and whether that row is a heading."""
    words = [cell.lower() for cell in row]
    for heading in HEADINGS:
        if heading in words:
            return words.index(heading), True
    if len(row) > 1 and all(_UNNAMED.fullmatch(word) for word in words) and not words[0].isdigit():
        return None, True
    # A number in front of a patch name is the index of the row.
    if len(row) > 1 and _NUMBER.fullmatch(row[0]):
        return next((i for i, cell in enumerate(row) if _NAME.fullmatch(cell)), 0), False
    return 0, False
