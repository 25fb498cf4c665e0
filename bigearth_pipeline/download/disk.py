"""The pieces of one file on disk: at their places in `NAME.part`, and beside it what of them is there.

The state says which file of the server it is of (size, tag), so that no two versions are ever mixed. Data is made
durable before the state says that it is there.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, Final

from bigearth_pipeline.download.client import RemoteFile
from bigearth_pipeline.download.pieces import PIECE, num_pieces
from bigearth_pipeline.errors import PipelineError
from shards.errors import InUse
from shards.storage.atomic import atomic_write, sync_folder, temporaries_of
from shards.storage.lock import exclusive
from shards.storage.names import named
from shards.storage.safe_open import read_regular

_SAVE_SECONDS: Final = 2.0
_MAX_STATE_BYTES: Final = 16 << 20


class OnDisk:
    """The pieces of a file on disk, as `Sink`."""

    ahead: int | None = None

    def __init__(self, path: Path, file: RemoteFile) -> None:
        """Take what an earlier run has left of the same file, or begin anew.

        Args:
            path: of the finished file, whose place is held.
            file: as the server describes it.

        Raises:
            PipelineError: a file that no download has begun lies where its bytes would.
        """
        self._part, self._state = part_paths(path)
        self._identity = {"size": file.size, "tag": file.tag}
        self._size = file.size
        self._done = self._read_state() if file.has_ranges and file.tag else set()
        for temporary in temporaries_of(self._state):
            temporary.unlink(missing_ok=True)
        if not self._done:
            # The state comes before its bytes and goes after them, so that it tells them from those of others.
            if os.path.lexists(self._part) and not self._state.exists():
                raise PipelineError(
                    f"{self._part} is no download of bep: {self._state.name} is not beside it; move it elsewhere"
                )
            self._note()
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
                with named(self._part):
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
        """Note what is here; leave no file if that is nothing."""
        with self._lock:
            if not self._done:
                with suppress(OSError):
                    self.discard()
            elif self._part.exists():
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
        remove_parts(self._part, self._state)

    def _save(self) -> None:
        with named(self._part):
            os.fdatasync(self._descriptor)
        self._note()
        self._saved = time.monotonic()

    def _note(self) -> None:
        with atomic_write(self._state) as file:
            file.write(json.dumps({"identity": self._identity, "piece": PIECE, "done": sorted(self._done)}).encode())

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


def remove_parts(part: Path, state: Path) -> None:
    """Delete what is downloaded of a file, and then what is noted about it."""
    part.unlink(missing_ok=True)
    state.unlink(missing_ok=True)


def tidy(path: Path) -> None:
    """Delete what a run that was killed has left beside a finished file; what is in use stays."""
    part, state = part_paths(path)
    with suppress(OSError, InUse):
        temporaries = temporaries_of(state)
        if state.exists() or temporaries or _lock_of(path).exists():
            with held(path):
                if state.exists():
                    remove_parts(part, state)
                for temporary in temporaries:
                    temporary.unlink(missing_ok=True)


def _lock_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


def held(path: Path, say: Callable[[str], None] = lambda text: None) -> AbstractContextManager[None]:
    """Hold the place of a download, which two that write there at a time would fill with holes.

    Raises:
        InUse: another process holds it.
        OSError: the file of the lock, which lies beside it, cannot be made.
    """
    return exclusive(_lock_of(path), f"{path} is in use by another download", say)
