"""Spool files: encoded records in the order in which they came, each with all that its place in a shard does not tell.

A record goes to the file of its bucket, that is of a range of the shuffle, so that a shard is read from few files. Each
worker process appends to files of its own. A record has a checksum over its head, and its parts have theirs in it: what
a killed writer has left ends at the first that does not fit.

Layout of a record, little-endian: magic, CRC-32C of all that follows in the head, bytes of the head and of the whole,
EPSG code, easting, northing, missing pixels, bytes of the band files, number of parts; length and CRC-32C of each part;
the folder in UTF-8; the parts.
"""

import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from crc32c import crc32c

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.source.georeference import Georeference
from shards.layout.shuffle import shuffle_rank
from shards.storage.atomic import sync_file, sync_folder
from shards.storage.safe_open import open_regular_file

SUFFIX: Final = ".spool"

_MAGIC: Final = b"BEPs"
_HEAD: Final = struct.Struct("<4sIII i dd I Q I")
_PART: Final = struct.Struct("<II")
_AFTER_CRC: Final = 8  # The head from here on is what its checksum is of.
_MAX_PARTS: Final = 16
_MAX_OPEN: Final = 64
"""Files that a reader keeps open, at most."""


class SpoolPlace(NamedTuple):
    """Location of a record: name of its file, offset and length in bytes, and the checksum of its head."""

    file: str
    offset: int
    length: int
    crc32c: int


class SpoolRecord(NamedTuple):
    """A record: its place on Earth, missing pixels, bytes of its band files, and its encoded parts."""

    folder: str
    georeference: Georeference
    nodata_pixels: int
    source_bytes: int
    parts: Sequence[bytes | memoryview]


@dataclass(frozen=True, slots=True)
class SpoolOptions:
    """The place of spool files; small enough to travel to every worker.

    Attributes:
        folder: of the spool files.
        run: text that no other run of the command has.
        seed: of the shuffle.
        buckets: number of ranges of the shuffle.
    """

    folder: Path
    run: str
    seed: int
    buckets: int

    def bucket_of(self, key: str) -> int:
        """Return the bucket of a patch."""
        return int.from_bytes(shuffle_rank(key, self.seed)[:4], "big") * self.buckets >> 32

    def path_of(self, bucket: int) -> Path:
        """Return the file that this process appends the records of a bucket to."""
        return self.folder / f"{bucket:04d}.{self.run}.{os.getpid()}{SUFFIX}"


class SpoolWriter:
    """Appends records to spool files of this process; a context manager that keeps the files open."""

    def __init__(self, options: SpoolOptions) -> None:
        """Take where records go; nothing is opened."""
        self._options = options
        self._files: dict[int, tuple[Path, int]] = {}
        self._stack = ExitStack()

    def __enter__(self) -> "SpoolWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def append(self, key: str, record: SpoolRecord) -> SpoolPlace:
        """Append the record of a patch to the file of its bucket.

        Raises:
            OSError: it cannot be written.
        """
        folder = record.folder.encode("utf-8", "surrogateescape")
        parts = b"".join(_PART.pack(len(part), crc32c(part)) for part in record.parts)
        head_bytes = _HEAD.size + len(parts) + len(folder)
        length = head_bytes + sum(map(len, record.parts))
        place = record.georeference
        facts = (place.epsg, place.ulx, place.uly, record.nodata_pixels, record.source_bytes, len(record.parts))
        checked = _HEAD.pack(_MAGIC, 0, head_bytes, length, *facts)[_AFTER_CRC:] + parts + folder
        crc = crc32c(checked)
        pieces = [_MAGIC + crc.to_bytes(4, "little") + checked, *record.parts]
        path, descriptor = self._file(self._options.bucket_of(key))
        offset = os.lseek(descriptor, 0, os.SEEK_END)
        try:
            if os.writev(descriptor, pieces) != length:
                # A full disk takes a part; the next attempt says so.
                os.ftruncate(descriptor, offset)
                data = memoryview(b"".join(pieces))
                while data:
                    data = data[os.write(descriptor, data) :]
        except OSError as err:
            os.ftruncate(descriptor, offset)
            err.filename = err.filename or str(path)
            raise
        return SpoolPlace(path.name, offset, length, crc)

    def _file(self, bucket: int) -> tuple[Path, int]:
        file = self._files.get(bucket)
        if file is None:
            path = self._options.path_of(bucket)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
            self._stack.callback(os.close, descriptor)
            file = self._files[bucket] = path, descriptor
        return file


class SpoolReader:
    """Reads records of spool files; a context manager that keeps some files open."""

    def __init__(self, folder: Path) -> None:
        """Take the folder of the files; nothing is opened."""
        self._folder = folder
        self._files: dict[str, BinaryIO] = {}

    def __enter__(self) -> "SpoolReader":
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()

    def read(self, place: SpoolPlace) -> SpoolRecord:
        """Read a record.

        Raises:
            PipelineError: it is not what was written.
            OSError: it cannot be read.
        """
        data = os.pread(self._file(place.file).fileno(), place.length, place.offset)
        found = _parse(memoryview(data), 0) if len(data) == place.length else None
        if found is None or found[1] != place.crc32c:
            raise PipelineError(
                f"{self._folder / place.file} is damaged at byte {place.offset:,}; delete {self._folder} and run the "
                "same command again"
            )
        return found[0]

    def _file(self, name: str) -> BinaryIO:
        file = self._files.get(name)
        if file is None:
            if len(self._files) == _MAX_OPEN:
                self._files.pop(next(iter(self._files))).close()
            file = self._files[name] = open_regular_file(self._folder / name)
        return file


def scan(folder: Path) -> dict[str, SpoolPlace]:
    """Return the place of each record by its patch's folder; every byte is compared with its checksum.

    Raises:
        OSError: a file cannot be read.
    """
    found: dict[str, SpoolPlace] = {}
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        found.update(_scan_file(path))
    return found


def _scan_file(path: Path) -> Iterator[tuple[str, SpoolPlace]]:
    with open_regular_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data, memoryview(data) as view:
            at = 0
            while at < size and (found := _parse(view, at, keep=False)) is not None:
                record, crc, length = found
                yield record.folder, SpoolPlace(path.name, at, length, crc)
                at += length


def _parse(data: memoryview, at: int, *, keep: bool = True) -> tuple[SpoolRecord, int, int] | None:
    """Return the record at an offset, its checksum and length; None if it is damaged. `keep` has views of its parts."""
    if at + _HEAD.size > len(data):
        return None
    magic, crc, head_bytes, length, *facts = _HEAD.unpack_from(data, at)
    epsg, ulx, uly, nodata, source_bytes, num_parts = facts
    parts_end = _HEAD.size + num_parts * _PART.size
    if magic != _MAGIC or num_parts > _MAX_PARTS or not parts_end <= head_bytes <= length <= len(data) - at:
        return None
    head = data[at : at + head_bytes]
    try:
        if crc32c(head[_AFTER_CRC:]) != crc:
            return None
        folder = bytes(head[parts_end:]).decode("utf-8", "surrogateescape")
        parts: list[bytes | memoryview] = []
        begin = at + head_bytes
        for i in range(num_parts):
            size, part_crc = _PART.unpack_from(head, _HEAD.size + i * _PART.size)
            part = data[begin : begin + size]
            is_whole = len(part) == size and crc32c(part) == part_crc
            if is_whole and keep:
                parts.append(part)
            else:
                part.release()
            if not is_whole:
                return None
            begin += size
    finally:
        head.release()
    if begin != at + length:
        return None
    return SpoolRecord(folder, Georeference(epsg, ulx, uly), nodata, source_bytes, parts), crc, length


def sync_spool(folder: Path, files: Sequence[str]) -> None:
    """Make spool files durable.

    Raises:
        OSError: one cannot be written.
    """
    for name in files:
        sync_file(folder / name)
    sync_folder(folder)
