"""From the bytes of an archive to those of the tar in it: which compression it has is found by looking.

zstd is decoded by one thread, as a frame allows no more; gzip and bzip2 files of this machine by several (rapidgzip),
and those that come as a stream by one; xz by one.
"""

import bz2
import lzma
import os
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final, Protocol

from bigearth_pipeline.errors import PipelineError
from shards.reporting import printable, shortened
from shards.runtime.cores import num_cores

CHUNK: Final = 1 << 20
"""Bytes of a piece of the tar, about."""

_MAGIC: Final = {
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
}
_SKIPPABLE: Final = range(0x184D2A50, 0x184D2A60)  # RFC 8878, 3.1.2
_MAX_WINDOW: Final = 1 << 27
"""Bytes that a zstd frame may make a decoder hold: what `zstd -d` allows by itself, and `zstd --long=27` makes."""
_MAX_XZ_MEMORY: Final = 256 << 20
_MAX_THREADS: Final = 8
_PADDING: Final = 10
"""Zeros at the end of a file that no gzip or bzip2 has of its own: an empty gzip ends with nine."""


class Readable(Protocol):
    """Open bytes of an archive."""

    def read(self, size: int, /) -> bytes:
        """Return up to this many bytes; none at the end only."""


class Rooms(Protocol):
    """Memory for the pieces of a tar."""

    def take(self) -> memoryview:
        """Return room for a piece, writable."""

    def give_back(self, room: memoryview, /) -> None:
        """Take back room that was not used."""


class _NewRooms:
    """Memory of its own for each piece, as `Rooms`."""

    def take(self) -> memoryview:
        return memoryview(bytearray(CHUNK))

    def give_back(self, room: memoryview, /) -> None:
        pass


def compression_of(head: bytes) -> str | None:
    """Return the compression of an archive by its first bytes; None for a plain tar, or what is none.

    Args:
        head: its first 6 bytes.
    """
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            return name
    return "zstd" if len(head) >= 4 and int.from_bytes(head[:4], "little") in _SKIPPABLE else None


def tar_chunks(
    raw: Readable, name: str, path: Path | None = None, rooms: Rooms | None = None
) -> Generator[memoryview, None, None]:
    """Yield the tar in an archive, in pieces.

    Args:
        raw: the archive, open at its begin.
        name: of the archive, for errors.
        path: of the archive, where it is a file of this machine.
        rooms: memory that pieces are put into, each but the last as long as its room; default: some MB as they come.

    Raises:
        PipelineError: it is damaged, or needs too much memory.
    """
    head = raw.read(CHUNK)
    compression = compression_of(head[:6])
    rest = _Prefixed(head, raw)
    if compression is None:
        chunks = _put(_pieces(rest), rooms)
    elif compression == "zstd":
        chunks = _zstd(rest, rooms or _NewRooms())
    elif path is not None and compression in ("gzip", "bzip2") and not _is_padded(path):
        chunks = _put(_parallel(path, compression), rooms)
    else:
        chunks = _put(_chained(rest, compression), rooms)
    while True:
        try:
            chunk = next(chunks, None)
        except (PipelineError, OSError) as err:
            if isinstance(err, PipelineError) or err.errno is not None:
                raise
            raise _damaged(name, compression, err) from err
        except (ValueError, RuntimeError, zlib.error, lzma.LZMAError, EOFError, _zstd_error()) as err:
            raise _damaged(name, compression, err) from err
        if chunk is None:
            return
        yield chunk


def _damaged(name: str, compression: str | None, err: BaseException) -> PipelineError:
    text = printable(shortened(str(err), 300))
    if "memory" in text.lower():
        return PipelineError(
            f"{name} needs a decoder with more than {_MAX_WINDOW >> 20} MiB of memory ({text}), as no archive of "
            "BigEarthNet does; unpack it and name the folder"
        )
    return PipelineError(f"{name} is damaged or cut off: its {compression} cannot be decoded: {text}; get it again")


class _Prefixed:
    """Bytes that were read already, and the rest."""

    def __init__(self, head: bytes, raw: Readable) -> None:
        self._head, self._raw = head, raw

    def read(self, size: int = -1, /) -> bytes:
        if self._head:
            part, self._head = self._head[:size], self._head[size:]
            return part
        return self._raw.read(size)


def _pieces(raw: Readable) -> Iterator[bytes]:
    while piece := raw.read(CHUNK):
        yield piece


def _zstd_error() -> type[Exception]:
    import zstandard

    return zstandard.ZstdError


def _put(pieces: Iterator[bytes], rooms: Rooms | None) -> Iterator[memoryview]:
    """Copy pieces into rooms, if there are any; what comes before an error is yielded before it."""
    if rooms is None:
        yield from (memoryview(piece) for piece in pieces)
        return
    room, filled = rooms.take(), 0
    error: Exception | None = None
    while True:
        try:
            piece = next(pieces, None)
        except Exception as err:
            error = err
            break
        if piece is None:
            break
        rest = memoryview(piece)  # None of it where a decoder needs more before it gives any.
        while rest:
            part = rest[: len(room) - filled]
            room[filled : filled + len(part)] = part
            rest, filled = rest[len(part) :], filled + len(part)
            if filled == len(room):
                yield room
                room, filled = rooms.take(), 0
    if filled:
        yield room[:filled]
    else:
        rooms.give_back(room)
    if error is not None:
        raise error


def _zstd(raw: Readable, rooms: Rooms) -> Iterator[memoryview]:
    import zstandard

    decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
    source: Any = raw  # Typed as a file, of which only `read` is called.
    with decompressor.stream_reader(source, read_size=CHUNK, read_across_frames=True) as reader:
        while count := reader.readinto(room := rooms.take()):
            yield room[:count]
        rooms.give_back(room)


def _is_padded(path: Path) -> bool:
    """Return whether zeros fill up a file after its end: damage to rapidgzip, which writes a warning about bzip2."""
    with open(path, "rb") as file:
        file.seek(-min(_PADDING, file.seek(0, os.SEEK_END)), os.SEEK_END)
        return not any(file.read())


def _parallel(path: Path, compression: str) -> Iterator[bytes]:
    import rapidgzip

    threads = min(num_cores(), _MAX_THREADS)
    opened: Any = rapidgzip.RapidgzipFile if compression == "gzip" else rapidgzip.IndexedBzip2File
    with closing(opened(str(path), parallelization=threads)) as file:
        while piece := file.read(CHUNK):
            yield piece


_DECODERS: Final[dict[str, Callable[[], Any]]] = {
    "gzip": lambda: zlib.decompressobj(wbits=31),
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MAX_XZ_MEMORY),
}


def _chained(raw: Readable, compression: str) -> Iterator[bytes]:
    """Decode members, streams or blocks that follow each other, as parallel compressors write them."""
    make = _DECODERS[compression]
    decoder, begun = make(), False
    data = b""
    while data := data or raw.read(CHUNK):
        if decoder.eof:
            # Writers fill up with zeros.
            data = data.lstrip(b"\0")
            if not data:
                continue
            decoder, begun = make(), False
        if compression == "gzip":
            yield decoder.decompress(data, CHUNK)
            data = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
        else:
            yield decoder.decompress(data, CHUNK)
            while not (decoder.eof or decoder.needs_input):
                yield decoder.decompress(b"", CHUNK)
            data = decoder.unused_data if decoder.eof else b""
        begun = True
    if begun and not decoder.eof:
        raise EOFError("it ends before its end is marked")
