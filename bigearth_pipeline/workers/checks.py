"""Check that a worker elsewhere runs the same code with the same libraries, and sees the same files.

The driver leaves a file with a random text in the store and notes what lies in a folder of each source. Each worker
compares them with what it sees, and leaves a file of its own that the driver must see. Workers that come while a build
runs do the same before their first task.
"""

import hashlib
import os
import secrets
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from bigearth_pipeline.errors import PipelineError
from shards.storage.atomic import FULL, TEMPORARY_SUFFIX

# Those that tasks are made of, and those whose releases may write other bytes.
_LIBRARIES: Final = ("dask", "distributed", "numpy", "numcodecs", "crc32c", "pyarrow", "rasterio", "zarr")
_PACKAGES: Final = ("bigearth_pipeline", "shards")


@dataclass(frozen=True, slots=True)
class Shared:
    """Paths that the driver and all workers must see.

    Attributes:
        folder: absolute; where the workers write.
        sources: absolute folders in which they read; of each the names are compared.
    """

    folder: Path
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Terms:
    """Facts that the driver knows and that a worker must find to be the same.

    Attributes:
        token: random text, which is the content of `probe`.
        probe: file that the driver has left in the shared folder; None if no paths are shared.
        listings: (source folder, names in it).
        versions: (library, version) and a digest of the code of this package.
    """

    token: str
    probe: Path | None
    listings: tuple[tuple[str, tuple[str, ...]], ...]
    versions: tuple[tuple[str, str], ...]


@contextmanager
def terms_of(shared: Shared | None) -> Iterator[Terms]:
    """Note what workers must find, and leave a file in the shared folder for as long as the block lasts.

    Raises:
        OSError: the shared folder cannot be written to, or a source not be read.
    """
    token = secrets.token_hex(16)
    if shared is None:
        yield Terms(token, None, (), versions())
        return
    probe = _write_probe(shared.folder, token)
    try:
        listings = tuple((folder, _names(folder)) for folder in shared.sources)
        yield Terms(token, probe, listings, versions())
    finally:
        probe.unlink(missing_ok=True)


def differences(terms: Terms, found: Sequence[tuple[str, str]]) -> str:
    """Return how the versions of a worker differ from those of the driver; empty if they do not."""
    theirs = dict(found)
    return ", ".join(
        f"{name} is {theirs.get(name, 'missing')} there, {ours} here"
        for name, ours in terms.versions
        if theirs.get(name) != ours
    )


def look(terms: Terms) -> tuple[tuple[tuple[str, str], ...], str, Path | None]:
    """Describe the worker that this runs in: its versions, what is wrong with its paths, and a file that it left.

    With other versions paths are not looked at.
    """
    found = versions()
    if found != terms.versions or terms.probe is None:
        return found, "", None
    folder = terms.probe.parent
    try:
        seen = terms.probe.read_text()
    except OSError as err:
        return found, f"does not see what is in {folder} ({err.strerror})", None
    if seen != terms.token:
        return found, f"sees another folder as {folder}", None
    for path, names in terms.listings:
        try:
            same = _names(path) == names
        except OSError as err:
            return found, f"does not see the source folder {path} ({err.strerror})", None
        if not same:
            return found, f"sees other files in the source folder {path}", None
    try:
        left = _write_probe(folder, terms.token)
    except OSError as err:
        if err.errno in FULL:
            # The folder is the right one; that the disk is full is for the writers to say, who know what it is full of.
            return found, "", None
        return found, f"cannot write in {folder} ({err.strerror})", None
    return found, "", left


_accepted: set[str] = set()


def accept(terms: Terms) -> None:
    """Mark this worker as one that the driver has found fit."""
    _accepted.add(terms.token)


def check_here(terms: Terms, address: str) -> None:
    """Check the worker that this runs in, unless it has been checked.

    Raises:
        PipelineError: it is unfit.
    """
    if terms.token in _accepted:
        return
    found, problem, left = look(terms)
    if left is not None:
        left.unlink(missing_ok=True)
    worker = named(address, socket.gethostname())
    if different := differences(terms, found):
        raise PipelineError(unequal(worker, different))
    if problem:
        raise PipelineError(unseen(worker, problem))
    accept(terms)


def named(address: str, host: str) -> str:
    """Return how messages name a worker: by its address, and by the name of its host where that is known."""
    return f"{address} on host {host}" if host else address


def unequal(worker: str, different: str) -> str:
    """Return the message about a worker with other versions."""
    return f"worker {worker} would write other bytes: {different}; install the same versions there and start it again"


def unseen(worker: str, problem: str) -> str:
    """Return the message about a worker with other files."""
    return f"worker {worker} {problem}; source and store must be at the same paths on all hosts, and writable there"


@cache
def versions() -> tuple[tuple[str, str], ...]:
    """Return the versions of Python, of the libraries that matter, and a digest of the code of this package.

    They are those of the first call: code that changes under a running worker is not what the worker runs.
    """
    libraries = tuple((name, _version(name)) for name in _LIBRARIES)
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return (("Python", python), *libraries, ("code of bep", _code_digest()))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _code_digest() -> str:
    digest = hashlib.sha256()
    root = Path(__file__).parents[2]
    for path in sorted(path for package in _PACKAGES for path in (root / package).rglob("*.py")):
        digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _names(folder: str) -> tuple[str, ...]:
    return tuple(sorted(os.listdir(folder)))


def _write_probe(folder: Path, token: str) -> Path:
    """Write the token to a new file, named as the temporary files of writers are so that they clean it up."""
    path = folder / f".probe.bep.{os.getpid()}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}"
    try:
        with open(path, "x") as file:
            file.write(token)
    except OSError:
        # On a full disk there is room for the name alone.
        path.unlink(missing_ok=True)
        raise
    return path
