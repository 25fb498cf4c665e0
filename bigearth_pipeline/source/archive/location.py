"""Archives that a build reads: what it needs of one, wherever it is (`Archive`), and files of this machine."""

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.source.archive.compression import Rooms, tar_chunks
from bigearth_pipeline.source.tree import ARCHIVE_NAMES
from shards.storage.safe_open import open_regular_file

_PIECE: Final = 1 << 20


class Archive(Protocol):
    """An archive that a build reads.

    Attributes:
        name: path or address.
        root: with which the paths of its members begin.
        beside: folder in which its tables are looked for; None if it lies in none of this machine.
    """

    name: str
    root: str
    beside: Path | None

    @property
    def size(self) -> int:
        """Bytes of the archive."""

    def identity(self) -> dict[str, Any]:
        """Return JSON values that change when the archive does."""

    def chunks(self, rooms: Rooms | None = None) -> AbstractContextManager[Iterator[memoryview]]:
        """Open the archive; the block gets the tar in it, in pieces. Without rooms only the first are taken."""

    def stop(self) -> None:
        """End a wait for the next chunk, which then fails; any thread may call."""

    def digest(self) -> str | None:
        """Return the MD5 of the archive in hexadecimal, once all chunks were read; None unless it was asked for."""


class LocalArchive:
    """An archive on this machine, as `Archive`."""

    def __init__(self, path: Path, *, wants_digest: bool = False) -> None:
        """Name an archive.

        Args:
            path: absolute, of a regular file.
            wants_digest: compute its MD5 while it is read.

        Raises:
            PipelineError: it cannot be read.
        """
        self.name = self.root = str(path)
        self.beside: Path | None = path.parent
        self._path = path
        self._wants_digest = wants_digest
        self._digest: str | None = None
        try:
            with open_regular_file(path) as file:
                self._status = os.fstat(file.fileno())
        except OSError as err:
            raise _unreadable(path, err) from err

    @property
    def size(self) -> int:
        """See `Archive`."""
        return self._status.st_size

    def identity(self) -> dict[str, Any]:
        """See `Archive`: size and modification time."""
        return {"name": self.name, "size": self._status.st_size, "mtime_ns": self._status.st_mtime_ns}

    @contextmanager
    def chunks(self, rooms: Rooms | None = None) -> Iterator[Iterator[memoryview]]:
        """See `Archive`."""
        try:
            file = open_regular_file(self._path)
        except OSError as err:
            raise _unreadable(self._path, err) from err
        with file:
            digest = _Digest(self._path) if self._wants_digest and rooms is not None else None
            try:
                with closing(tar_chunks(_Reading(self._path, file), self.name, self._path, rooms)) as chunks:
                    yield chunks
                if digest:
                    self._digest = digest.result()
            finally:
                if digest:
                    digest.stop()
            status = os.fstat(file.fileno())
        if (status.st_size, status.st_mtime_ns) != (self._status.st_size, self._status.st_mtime_ns):
            raise PipelineError(f"{self.name} was changed while it was read; run the same command again")

    def stop(self) -> None:
        """See `Archive`: a file is never waited for."""

    def digest(self) -> str | None:
        """See `Archive`."""
        return self._digest


class _Reading:
    """A file whose errors are said to be its own, and not those of what is made of it."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self._file = path, file

    def read(self, size: int, /) -> bytes:
        try:
            return self._file.read(size)
        except OSError as err:
            raise _unreadable(self._path, err) from err


class _Digest:
    """The MD5 of a file, computed by a thread of its own at its own pace."""

    def __init__(self, path: Path) -> None:
        self._path, self._stopped = path, False
        self._result: str | None = None
        self._thread = threading.Thread(target=self._run, name="bep-md5", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        digest = hashlib.md5(usedforsecurity=False)
        try:
            with open(self._path, "rb", buffering=0) as file:
                while not self._stopped and (piece := file.read(_PIECE)):
                    digest.update(piece)
        except OSError:
            return  # The reader of the archive fails as well, and says why.
        if not self._stopped:
            self._result = digest.hexdigest()

    def result(self) -> str | None:
        """Wait for the end of the file, and return the digest."""
        self._thread.join()
        return self._result

    def stop(self) -> None:
        """End the thread."""
        self._stopped = True
        self._thread.join()


def is_archive(path: Path) -> bool:
    """Return whether a source is an archive by its name, or as any file is; a folder is none."""
    return path.is_file() or (path.name.lower().endswith(ARCHIVE_NAMES) and not path.is_dir())


def _unreadable(path: Path, err: OSError) -> PipelineError:
    if isinstance(err, FileNotFoundError):
        return PipelineError(f"source {path} does not exist")
    return PipelineError(f"source {path} cannot be read: {err.strerror or err}")
