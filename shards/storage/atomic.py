"""Files that are either whole or absent: temporary name → fsync → rename → fsync of the folder."""

import errno
import os
import re
import secrets
import shutil
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from shards.storage.names import named, renamed
from shards.storage.safe_open import check_replaceable

TEMPORARY_SUFFIX: Final = ".part"
FULL: Final = (errno.ENOSPC, errno.EDQUOT)
"""Numbers of the errors of a full disk."""
_TEMPORARY: Final = re.compile(r"\.(.+)\.[A-Za-z0-9-]+\.\d+\.[0-9a-f]{8}\.part")


def atomic_write(path: Path) -> AbstractContextManager[IO[bytes]]:
    """Open a file for writing that appears under `path` only if the block ends without an error.

    Until then it is named `.NAME.HOST.PROCESS.RANDOM.part`, so that writers on several hosts, or a task that runs
    twice, never share a file.
    """
    return atomic_writer.create(path)


@contextmanager
def _create(path: Path) -> Iterator[IO[bytes]]:
    check_replaceable(path)
    temporary = temporary_beside(path)
    with renamed(temporary, path):
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        # Records are longer than the buffer, so they are written from where they are.
        with named(path), open(descriptor, "wb", buffering=1 << 14) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with renamed(temporary, path):
            os.replace(temporary, path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def temporary_beside(path: Path) -> Path:
    """Return a new name beside a file or a folder for what is to become it."""
    return path.with_name(f".{path.name}.{_host()}.{os.getpid()}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")


@dataclass(slots=True)
class AtomicWriter:
    """The one way in which files are written whole; a test replaces it to have writes fail.

    Attributes:
        create: what `atomic_write` returns for a path.
    """

    create: Callable[[Path], AbstractContextManager[IO[bytes]]]


atomic_writer: Final = AtomicWriter(_create)


def temporary_of(name: str) -> str | None:
    """Return the name of the file that a temporary one was to become; None if `atomic_write` makes no such name."""
    match = _TEMPORARY.fullmatch(name)
    return match[1] if match else None


def temporaries_of(path: Path) -> list[Path]:
    """Return what killed or running writers of a file have beside it."""
    return [each for each in path.parent.iterdir() if temporary_of(each.name) == path.name]


def sync_folder(folder: Path) -> None:
    """Make renames within a folder durable."""
    sync_file(folder)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, unless they are there, and make their names durable."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing or [folder]:
        # Whoever may only enter the folder above can make nothing there.
        with suppress(PermissionError):
            sync_folder(path.parent)


@contextmanager
def folder_made(folder: Path) -> Iterator[None]:
    """Make a folder as `make_folder`, and remove it and those made above it if the block fails and leaves them empty.

    Raises:
        OSError: it cannot be made.
    """
    new = [each for each in (folder, *folder.parents) if not each.exists()]
    make_folder(folder)
    try:
        yield
    except BaseException:
        with suppress(OSError):
            for each in new:
                each.rmdir()
        raise


def sync_names(folder: Path, paths: Iterable[str]) -> None:
    """Make the names of files in sub-folders of a folder durable, and those of the folders that hold them.

    Args:
        folder: the folder.
        paths: of the files below it; of those directly in it nothing is done.
    """
    holding = {parent for path in paths for parent in Path(path).parents if path.count("/")}
    for path in sorted(holding, key=lambda path: len(path.parts), reverse=True):
        sync_folder(folder / path)


def sync_file(path: Path) -> None:
    """Make the content of a file, or the names in a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with named(path):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_temporaries(root: Path) -> None:
    """Remove what interrupted writers left below `root`; call it only where no writer is at work."""
    for path in root.rglob(f".*{TEMPORARY_SUFFIX}"):
        if temporary_of(path.name) is not None and path.is_file() and not path.is_symlink():
            path.unlink(missing_ok=True)


def remove_temporary_folders(path: Path) -> None:
    """Remove what killed writers of a folder left beside it; call it only where no writer is at work."""
    for each in path.parent.glob(f".*{TEMPORARY_SUFFIX}"):
        if temporary_of(each.name) == path.name and each.is_dir() and not each.is_symlink():
            shutil.rmtree(each, ignore_errors=True)


def _host() -> str:
    """Return the name of this host with only the characters that a temporary name takes."""
    return re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())[:64] or "host"
