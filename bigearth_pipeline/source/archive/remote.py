"""An archive of an HTTP server or in object storage, read as it comes: by several connections, and in order.

Where a connection was cut it is read again from there.
"""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from bigearth_pipeline.download.client import Changed, Patience, shown
from bigearth_pipeline.download.disk import OnDisk, held, part_paths, tidy
from bigearth_pipeline.download.files import check_space
from bigearth_pipeline.download.objects import SCHEMES, client_of
from bigearth_pipeline.download.pieces import InMemory, Transfer, fetched
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.source.archive.compression import Rooms, tar_chunks
from bigearth_pipeline.source.archive.location import Archive, LocalArchive
from bigearth_pipeline.source.archive.official import WrongDigest, check_digest, official_of
from shards.storage.atomic import folder_made

_AHEAD: Final = 2
"""Pieces that wait in memory for each connection."""


class UrlArchive:
    """An archive at an address, as `Archive`."""

    def __init__(
        self, url: str, *, connections: int = 4, keep: Path | None = None, patience: Patience | None = None
    ) -> None:
        """Ask the server what it is.

        Args:
            url: its address.
            connections: at a time.
            keep: folder in which its bytes are kept while they are read, or are already and are read there.
            patience: with the server.

        Raises:
            PipelineError: the server does not have it, or does not answer.
        """
        self.name = shown(url)
        self.root = str(Path(self.name))
        self.beside: Path | None = keep
        self._url, self._connections, self._patience = url, connections, patience
        self._path = None if keep is None else keep / (urlsplit(url).path.rpartition("/")[2] or "archive.tar")
        self._transfer: Transfer | None = None
        self._digest: str | None = None
        self._wants_digest = official_of(self.name.rpartition("/")[2]) is not None
        with closing(client_of(url, 1, patience)) as client:
            self._file = client.describe(url)

    @property
    def size(self) -> int:
        """See `Archive`."""
        return self._file.size

    def identity(self) -> dict[str, Any]:
        """See `Archive`: size and tag."""
        return {"name": self.name, "size": self._file.size, "tag": self._file.tag}

    @contextmanager
    def chunks(self, rooms: Rooms | None = None) -> Iterator[Iterator[memoryview]]:
        """See `Archive`."""
        with ExitStack() as stack:
            if self._path is not None and rooms is not None and not self._path.exists():
                stack.enter_context(folder_made(self._path.parent))
                stack.enter_context(held(self._path))
            # Another process may have finished it meanwhile.
            if self._path is not None and self._path.exists():
                kept = self._kept(self._path)
                yield stack.enter_context(kept.chunks(rooms))
                stack.close()
                self._digest = kept.digest()
                check_digest(str(self._path), self.size, self._digest)
                if rooms is not None:
                    tidy(self._path)
            else:
                yield stack.enter_context(self._fetched(rooms))

    @contextmanager
    def _fetched(self, rooms: Rooms | None) -> Iterator[Iterator[memoryview]]:
        if rooms is None:
            # Block by block, so that the first file of a patch need not wait for a whole piece.
            with (
                closing(client_of(self._url, 1, self._patience)) as client,
                closing(client.read(self._file, 0, self.size)) as blocks,
                closing(tar_chunks(_Stream(blocks, wants_digest=False), self.name)) as chunks,
            ):
                yield chunks
            return
        client = client_of(self._url, self._connections, self._patience)
        try:
            if client.describe(self._url) != self._file:
                raise Changed(f"{self.name} has changed since the build began; run the same command again")
            disk = self._disk(self._path) if self._path is not None else None
        except BaseException:
            client.close()
            raise
        sink = disk or InMemory(_AHEAD * self._connections)
        try:
            with fetched(client, self._file, sink, self._connections) as self._transfer:
                raw = _Stream(self._transfer.in_order(), wants_digest=self._wants_digest)
                with closing(tar_chunks(raw, self.name, rooms=rooms)) as chunks:
                    yield chunks
                raw.drain()
                self._digest = raw.digest()
            if disk is not None and self._path is not None:
                check_digest(self.name, self.size, self._digest)
                disk.finish(self._path)
        except WrongDigest:
            if disk is not None:
                disk.discard()
            raise
        except PipelineError as err:
            if disk is None or self._path is None or self._transfer is None or self._transfer.error is not None:
                raise
            # What came is refused, not the server, so that the same command would refuse it for ever.
            part, _ = part_paths(self._path)
            raise PipelineError(
                f"{err}; {part} holds what came of it: delete that file to have it fetched again"
            ) from err
        finally:
            if disk is not None:
                disk.close()

    def stop(self) -> None:
        """See `Archive`."""
        if self._transfer is not None:
            self._transfer.stop()

    def digest(self) -> str | None:
        """See `Archive`."""
        return self._digest

    def _disk(self, path: Path) -> OnDisk:
        disk = OnDisk(path, self._file)
        try:
            check_space(path.parent, self._file.size - disk.bytes_done(), path.name)
        except BaseException:
            disk.close()
            raise
        return disk

    def _kept(self, path: Path) -> Archive:
        archive = LocalArchive(path, wants_digest=self._wants_digest)
        if archive.size != self._file.size:
            raise PipelineError(
                f"{path} has {archive.size:,} bytes, and {self.name} {self._file.size:,}; move the file elsewhere"
            )
        return archive


class _Stream:
    """Pieces as `Readable`, and the MD5 of what was read."""

    def __init__(self, pieces: Iterator[bytes], *, wants_digest: bool) -> None:
        self._pieces, self._rest = pieces, memoryview(b"")
        self._md5 = hashlib.md5(usedforsecurity=False) if wants_digest else None

    def read(self, size: int, /) -> bytes:
        if not self._rest:
            piece = next(self._pieces, b"")
            if self._md5:
                self._md5.update(piece)
            self._rest = memoryview(piece)
        part = bytes(self._rest[:size])
        self._rest = self._rest[size:]
        return part

    def drain(self) -> None:
        """Read what the decoder has left."""
        while self.read(1 << 20):
            pass

    def digest(self) -> str | None:
        return self._md5.hexdigest() if self._md5 else None


def is_url(source: str) -> bool:
    """Return whether a source is an address that can be read here."""
    return source.lower().startswith(tuple(f"{scheme}://" for scheme in ("http", "https", *SCHEMES)))
