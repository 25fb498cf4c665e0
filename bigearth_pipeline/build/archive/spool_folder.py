"""The folder of the spool files of one build: whose it is, what of an earlier run it holds, and its end."""

import hashlib
import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from bigearth_pipeline.build.archive.listing import LISTING
from bigearth_pipeline.build.archive.spool import SUFFIX, SpoolPlace, scan
from bigearth_pipeline.errors import PipelineError
from shards.errors import InUse
from shards.storage.atomic import atomic_write, make_folder, temporary_of
from shards.storage.lock import exclusive
from shards.storage.safe_open import read_regular
from shards.text.words import human_bytes

WAITING: Final = "waiting.bin"
_NOTE: Final = "spool.json"
_MARK: Final = "bep spool"
_MAX_NOTE_BYTES: Final = 64 << 20


class SpoolFolder:
    """A folder for the spool files of a build, below the one that the user names.

    Attributes:
        path: the folder; its name follows from that of the store.
        run: text that no other run has.
        identity: JSON values that change when its records would: archives, format, codec and offset.
    """

    def __init__(self, above: Path, out: Path, identity: dict[str, Any]) -> None:
        """Name the folder; nothing is made."""
        place = hashlib.blake2b(str(out.resolve()).encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()
        self.path = above / f"{out.name}.{place}.spool"
        self.run = secrets.token_hex(4)
        self.identity = identity

    @contextmanager
    def held(self, say: Callable[[str], None]) -> Iterator[None]:
        """Keep other builds out of the folder while the block runs.

        Args:
            say: takes a line for the user where the file system has no locks.

        Raises:
            PipelineError: another build is in it, or its lock file, which lies beside it, cannot be made.
        """
        with ExitStack() as stack:
            try:
                make_folder(self.path.parent)
                lock = self.path.with_name(f".{self.path.name}.lock")
                stack.enter_context(exclusive(lock, f"spool {self.path} is in use by another build", say))
            except InUse as err:
                raise PipelineError(str(err)) from None
            except OSError as err:
                raise PipelineError(f"spool {err.filename or self.path} cannot be used: {err.strerror or err}") from err
            yield

    @contextmanager
    def told(self, say: Callable[[str], None]) -> Iterator[None]:
        """Say that the folder stays if the block fails and leaves it: it can take as much room as the store."""
        try:
            yield
        except BaseException:
            with suppress(OSError):
                if self.path.is_dir() and (used := self.used()):
                    say(
                        f"spool {self.path} stays, {human_bytes(used)}: the same command takes it up; delete it if you "
                        "give the build up"
                    )
            raise

    def open(self) -> dict[str, SpoolPlace]:
        """Make the folder, or take what an earlier run of the same build has left; return its records by folder.

        Raises:
            PipelineError: it holds something else, or cannot be made.
        """
        try:
            earlier = self._earlier()
            if earlier is not None and earlier != self.identity:
                self.remove()
                earlier = None
            if earlier is None:
                make_folder(self.path)
                with atomic_write(self.path / _NOTE) as file:
                    file.write(json.dumps({"what": _MARK, "identity": self.identity}).encode())
                return {}
            for path in self._files():
                if path.name == WAITING or temporary_of(path.name) is not None:
                    path.unlink()
            return scan(self.path)
        except OSError as err:
            raise PipelineError(f"spool {err.filename or self.path} cannot be used: {err.strerror or err}") from err

    def remove(self) -> None:
        """Delete the folder, and nothing that is not of a spool.

        Raises:
            OSError: it cannot be deleted.
        """
        files = self._files()
        # The note last: without it the folder belongs to nobody.
        for path in sorted(files, key=lambda path: path.name == _NOTE):
            path.unlink(missing_ok=True)
        if self.path.is_dir():
            self.path.rmdir()

    def discard(self) -> None:
        """Delete what a run has left that was killed after it had finished the store; what is not its own stays."""
        with suppress(OSError, PipelineError):
            # Without a note it was killed while it removed the folder.
            if self._earlier() in (None, self.identity):
                self.remove()

    def used(self) -> int:
        """Return the bytes that it takes."""
        return sum(path.stat().st_size for path in self._files())

    def _earlier(self) -> Any:
        """Return the identity that the folder was made for; None if it does not say one.

        Raises:
            PipelineError: the folder is not one of a spool.
        """
        if not self.path.is_dir() or not any(self.path.iterdir()):
            return None
        try:
            note = json.loads(read_regular(self.path / _NOTE, _MAX_NOTE_BYTES))
            if note["what"] == _MARK:
                return note["identity"]
        except (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError):
            pass
        if all(temporary_of(path.name) for path in self.path.iterdir()):
            return None  # An earlier run was killed before it wrote its note.
        raise PipelineError(
            f"{self.path} is no folder of spool files of bep; move it elsewhere, or name another `spool=`"
        )

    def _files(self) -> list[Path]:
        if not self.path.is_dir():
            return []
        return [
            path
            for path in self.path.iterdir()
            if path.name in (_NOTE, LISTING, WAITING) or path.suffix == SUFFIX or temporary_of(path.name) is not None
        ]
