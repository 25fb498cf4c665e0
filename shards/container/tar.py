"""The WebDataset store: USTAR tars of `<key>.s2`, `.labels`, `.json` and further groups, with DALI index files.

The headers are made in this file because those of the standard library cost half as much time as compressing the
record; that the result is an ordinary tar is what the tests show with the standard library, webdataset and DALI.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

from shards.metadata.entries import FileInfo
from shards.storage.atomic import atomic_write

BLOCK: Final = 512

_END: Final = bytes(2 * BLOCK)


def shard_paths(split: str, number: int) -> tuple[str, str]:
    """Return the paths of a tar and of its index file within the store."""
    return f"{split}-{number:05d}.tar", f"{split}-{number:05d}.idx"


def tar_header(name: str, size_bytes: int) -> bytes:
    """Return the 512-byte USTAR header of a regular file of mode 0644, owner 0 and time 0.

    Layout: POSIX.1-1988 (ustar): name 100, mode 8, uid 8, gid 8, size 12, mtime 12, checksum 8, type 1, …; numbers in
    octal; the checksum is the sum of all bytes with its own field as blanks.

    Raises:
        ValueError: the name is longer than 100 bytes.
    """
    raw = name.encode()
    if len(raw) > 100:
        raise ValueError(f"tar member name {name!r} has {len(raw)} bytes, at most 100 fit")
    size = b"%011o" % size_bytes
    # Name and size are all that differs between headers.
    checksum = sum(raw) + sum(size) + _CONSTANT_SUM
    return b"%s%s%s%06o\x00 %s" % (raw.ljust(100, b"\0"), _BEFORE_SIZE, size + _AFTER_SIZE, checksum, _AFTER_CHECKSUM)


_BEFORE_SIZE: Final = b"0000644\x000000000\x000000000\x00"
_AFTER_SIZE: Final = b"\x0000000000000\x00"
_AFTER_CHECKSUM: Final = (b"0" + bytes(100) + b"ustar\x0000").ljust(BLOCK - 156, b"\0")
_CONSTANT_SUM: Final = sum(_BEFORE_SIZE + _AFTER_SIZE + _AFTER_CHECKSUM) + 8 * ord(" ")


def _padding(size_bytes: int) -> bytes:
    return bytes(-size_bytes % BLOCK)


class TarShardWriter:
    """Writes one tar into an open file and keeps its DALI index and SHA-256."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()
        self._offset = 0
        self._index: list[str] = []

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._sha256.update(data)
        self._offset += len(data)

    def add(
        self,
        key: str,
        record: bytes | memoryview,
        labels: bytes,
        json: bytes,
        further: Sequence[tuple[str, bytes | memoryview]] = (),
    ) -> list[int]:
        """Append a patch.

        Args:
            key: its name.
            record: content of its `.s2` member.
            labels: content of its `.labels` member.
            json: content of its `.json` member.
            further: extensions and contents of further members.

        Returns:
            Where the contents of the record and of each further member begin in the file, in bytes.
        """
        entry = []
        offset = self._offset
        pieces = []
        starts = []
        for extension, data in (("s2", record), ("labels", labels), ("json", json), *further):
            name = f"{key}.{extension}"
            pieces += [tar_header(name, len(data)), data, _padding(len(data))]
            entry.append(f"{extension} {offset + BLOCK} {len(data)} {name}")
            starts.append(offset + BLOCK)
            offset += BLOCK + len(data) + -len(data) % BLOCK
        self._write(b"".join(pieces))
        self._index.append(" ".join(entry))
        return [starts[0], *starts[3:]]

    def finish(self) -> None:
        """Write the end of the archive."""
        self._write(_END)

    def tar_info(self, path: str) -> FileInfo:
        """Return size and SHA-256 of the finished tar."""
        return FileInfo(path, self._offset, self._sha256.hexdigest())

    def write_index(self, path: Path, relative: str) -> FileInfo:
        """Write the index file for `nvidia.dali.fn.readers.webdataset` (format v1.2)."""
        text = "\n".join([f"v1.2 {len(self._index)}", *self._index, ""]).encode()
        with atomic_write(path) as file:
            file.write(text)
        return FileInfo(relative, len(text), hashlib.sha256(text).hexdigest())
