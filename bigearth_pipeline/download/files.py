"""Files that are downloaded: pieces at their places in `NAME.part`, and beside it what of them is there.

The state says which file of the server it is of (size, tag), so that no two versions are ever mixed. Data is made
durable before the state says that it is there.
"""

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, Final

from bigearth_pipeline.download.client import Changed, Client, Patience, RemoteFile, shown
from bigearth_pipeline.download.pieces import PIECE, fetched, num_pieces
from bigearth_pipeline.errors import PipelineError
from shards.storage.atomic import atomic_write, make_folder, sync_folder
from shards.storage.lock import exclusive
from shards.storage.safe_open import open_regular_file, read_regular

CONNECTIONS: Final = 4
_SAVE_SECONDS: Final = 2.0
_MAX_STATE_BYTES: Final = 16 << 20
_ROOM: Final = 64 << 20
"""Bytes that a disk shall have left."""

Advance = Callable[[int, int, int], None]
"""Takes bytes that are there, bytes of the file, and bytes that were there before this run."""


class OnDisk:
    """The pieces of a file on disk, as `Sink`."""

    ahead: int | None = None

    def __init__(self, path: Path, file: RemoteFile) -> None:
        """Take what an earlier run has left of the same file, or begin anew.

        Args:
            path: of the finished file.
            file: as the server describes it.
        """
        self._part, self._state = part_paths(path)
        self._identity = {"size": file.size, "tag": file.tag}
        self._size = file.size
        self._done = self._read_state() if file.has_ranges and file.tag else set()
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | (0 if self._done else os.O_TRUNC)
        self._descriptor = os.open(self._part, flags, 0o666)
        self._lock = threading.Lock()
        self._saved = time.monotonic()

    def has(self, number: int) -> bool:
        """See `Sink`."""
        return number in self._done

    def put(self, number: int, blocks: Iterator[bytes]) -> None:
        """See `Sink`.

        Raises:
            OSError: the disk is full, or fails.
        """
        at = number * PIECE
        for block in blocks:
            view = memoryview(block)
            while view:
                count = os.pwrite(self._descriptor, view, at)
                at += count
                view = view[count:]
        with self._lock:
            self._done.add(number)
            if time.monotonic() - self._saved > _SAVE_SECONDS:
                self._save()

    def take(self, number: int) -> bytes:
        """See `Sink`; a piece stays on disk."""
        return os.pread(self._descriptor, PIECE, number * PIECE)

    def bytes_done(self) -> int:
        """Return the bytes of the pieces that are here."""
        return sum(min(PIECE, self._size - number * PIECE) for number in self._done)

    def close(self) -> None:
        """Note what is here."""
        with self._lock:
            if self._part.exists():
                with suppress(OSError):
                    self._save()
            os.close(self._descriptor)

    def finish(self, path: Path) -> None:
        """Give the file its name."""
        os.fsync(self._descriptor)
        os.replace(self._part, path)
        self._state.unlink(missing_ok=True)
        sync_folder(path.parent)

    def discard(self) -> None:
        """Delete what is here."""
        self._state.unlink(missing_ok=True)
        self._part.unlink(missing_ok=True)

    def _save(self) -> None:
        os.fdatasync(self._descriptor)
        with atomic_write(self._state) as file:
            file.write(json.dumps({"identity": self._identity, "piece": PIECE, "done": sorted(self._done)}).encode())
        self._saved = time.monotonic()

    def _read_state(self) -> set[int]:
        try:
            state: Any = json.loads(read_regular(self._state, _MAX_STATE_BYTES))
            if state["identity"] != self._identity or state["piece"] != PIECE:
                return set()
            size = self._part.stat().st_size
            done = {int(number) for number in state["done"]}
            return {
                number
                for number in done
                if 0 <= number < num_pieces(self._size) and min((number + 1) * PIECE, self._size) <= size
            }
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return set()


def part_paths(path: Path) -> tuple[Path, Path]:
    """Return the paths of what is downloaded of a file, and of what is noted about it."""
    return path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.part.json")


def held(path: Path, say: Callable[[str], None] = lambda text: None) -> AbstractContextManager[None]:
    """Hold the place of a download, which two that write there at a time would fill with holes.

    Raises:
        InUse: another process holds it.
        OSError: the file of the lock, which lies beside it, cannot be made.
    """
    return exclusive(path.with_name(f".{path.name}.lock"), f"{path} is in use by another download", say)


def download(
    url: str,
    path: Path,
    *,
    size: int | None = None,
    md5: str | None = None,
    connections: int = CONNECTIONS,
    patience: Patience | None = None,
    say: Callable[[str], None] = lambda text: None,
    advance: Advance = lambda done, total, before: None,
) -> bool:
    """Download a file, or the rest of one; return whether there was anything to do.

    Args:
        url: its address.
        path: of the finished file; until then `NAME.part` and `NAME.part.json` lie beside it.
        size: bytes that it must have.
        md5: that it must have.
        connections: at a time.
        patience: with the server.
        say: takes lines for the user.
        advance: receives how it goes.

    Raises:
        PipelineError: it cannot be had, is another than expected, or there is no room for it.
    """
    if path.exists():
        _check_finished(path, size, md5)
        return False
    make_folder(path.parent)
    with held(path, say):
        for last in (False, True):
            try:
                _download_once(url, path, size, md5, connections, patience, say, advance)
                return True
            except Changed as err:
                for part in part_paths(path):
                    part.unlink(missing_ok=True)
                if last:
                    raise
                say(f"{err}; it is read again from its begin")
    raise AssertionError


def _download_once(
    url: str, path: Path, size: int | None, md5: str | None, connections: int, patience: Patience | None,
    say: Callable[[str], None], advance: Advance,
) -> None:  # fmt: skip
    client = Client(connections, patience)
    try:
        file = client.describe(url)
        if size is not None and file.size != size:
            raise PipelineError(f"{shown(url)} has {file.size:,} bytes, expected {size:,}: it is another file")
        sink = OnDisk(path, file)
    except BaseException:
        client.close()
        raise
    try:
        before = sink.bytes_done()
        check_space(path.parent, file.size - before, path.name)
        if before:
            say(f"{path.name}: {before:,} of {file.size:,} bytes are there from an earlier run")
        if not file.has_ranges:
            say(f"{shown(url)}: the server gives no ranges, so that one connection reads all, and a cut begins anew")
        digest, checked = hashlib.md5(usedforsecurity=False), 0
        with fetched(client, file, sink, connections) as transfer:
            for piece in transfer.in_order():
                digest.update(piece)
                checked += len(piece)
                advance(max(checked, sink.bytes_done()), file.size, before)
        found = digest.hexdigest()
        if checked != file.size or md5 not in (None, found):
            sink.discard()
            raise PipelineError(
                f"{shown(url)}: the MD5 of what came is {found}, expected {md5}; it was deleted, "
                "run the same command again"
            )
        sink.finish(path)
    finally:
        client.close()
        sink.close()


def check_space(folder: Path, needed: int, name: str) -> None:
    """Check that there is room for a download.

    Raises:
        PipelineError: there is not.
    """
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    if needed + _ROOM > free:
        raise PipelineError(
            f"{name} takes {needed:,} bytes more in {folder}, and {free:,} are free; make room, or name another folder"
        )


def md5_of(path: Path) -> str:
    """Return the MD5 of a file in hexadecimal."""
    with open_regular_file(path) as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _check_finished(path: Path, size: int | None, md5: str | None) -> None:
    """Check a file that is there already.

    Raises:
        PipelineError: it is another one.
    """
    try:
        found_size = path.stat().st_size
        found = md5_of(path) if md5 is not None and size in (None, found_size) else md5
    except OSError as err:
        raise PipelineError(f"{path} cannot be read: {err.strerror}") from err
    if size not in (None, found_size) or found != md5:
        fact = f"{found_size:,} bytes" if size not in (None, found_size) else f"the MD5 {found}"
        expected = f"{size:,}" if size not in (None, found_size) else str(md5)
        raise PipelineError(f"{path} is there and has {fact}, expected {expected}; move it elsewhere")
