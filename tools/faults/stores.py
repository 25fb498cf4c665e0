"""Damage of a finished store: flipped bits, cut-off files, and other things than files in their place."""

import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import shards
from shards.metadata.manifest import HISTOGRAMS, INDEX, MANIFEST
from tools.faults.attempts import Attempts, flipped, outcome_of, some_bits

_REFUSED = "refused, naming the file"
_UNREAD = "same results: what was damaged is not read"
SECONDS = 20
"""Longest time that any single use of a damaged store may take."""


class _TooLongError(BaseException):
    """A use of damaged data did not end in time."""


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Raise in the block when the time is over."""

    def stop(*_: object) -> None:
        raise _TooLongError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _shard_files(folder: Path) -> list[str]:
    """Return the names of the files that hold records."""
    files = [file.path for shard in shards.Manifest.read(folder).shards for file in shard.files]
    return [name for name in files if not name.endswith(".idx")]


def _contents(folder: Path) -> tuple[object, bytes, bytes]:
    """Return all that a training takes from a store: normalisation, index and pixels."""
    with shards.open(folder, num_threads=1) as store:
        out = np.empty((len(store), shards.RECORD_VALUES), np.uint16)
        store.read_into(range(len(store)), out)
        columns = [str(store.index.table[name].to_pylist()) for name in store.index.table.column_names]
        return store.manifest.splits, "".join(columns).encode(), out.tobytes()


def flips(folder: Path, times: int, rng: np.random.Generator) -> Iterator[Attempts]:
    """Flip bits in every kind of file of a store, one at a time, and use the store."""
    sound = _contents(folder)
    codec = shards.Manifest.read(folder).codec
    for what, names in (
        (f"a bit of a shard file flipped ({codec}), all records read", _shard_files(folder)),
        ("a bit of manifest.json flipped, store opened and read", [MANIFEST]),
        ("a bit of index.parquet flipped, store opened and read", [INDEX]),
        ("a bit of histograms.parquet flipped, store opened and read", [HISTOGRAMS]),
    ):
        attempts = Attempts(what)
        for name in names:
            path = folder / name
            for _ in flipped(path, some_bits(path, max(1, times // len(names)), rng)):
                attempts.outcomes[
                    outcome_of(
                        lambda: _contents(folder) == sound,
                        "refused, naming the file",
                        "same results: the bit is not read",
                    )
                ] += 1
        yield attempts


def cuts(folder: Path, times: int, rng: np.random.Generator) -> Attempts:
    """Cut off files of a store at random lengths, one at a time, and use the store."""
    sound = _contents(folder)
    attempts = Attempts("a file of a store cut off at a random length, store opened and read")
    names = [*_shard_files(folder), MANIFEST, INDEX]
    for name in names:
        path = folder / name
        content = path.read_bytes()
        for length in rng.integers(0, len(content), max(1, times // len(names))).tolist():
            path.write_bytes(content[:length])
            attempts.outcomes[outcome_of(lambda: _contents(folder) == sound, _REFUSED, _UNREAD)] += 1
        path.write_bytes(content)
    return attempts


def strange_files(folder: Path) -> Attempts:
    """Put a named pipe, a device, a folder, a socket and a link out of the store in the place of each file."""
    makers = (os.mkfifo, _link("/dev/zero"), os.mkdir, _socket, _link(folder.with_name("outside")))
    attempts = Attempts("a pipe, device, folder, socket or outward link in the place of a file, store opened and read")
    outside = folder.with_name("outside")
    for name in [*_shard_files(folder), MANIFEST, INDEX]:
        path, aside = folder / name, folder.with_name("aside")
        path.rename(aside)
        shutil.copyfile(aside, outside)
        for make in makers:
            make(path)
            try:
                with limited(SECONDS):
                    outcome = outcome_of(lambda: _contents(folder) is None, _REFUSED, "")
            except _TooLongError:
                outcome = "HANGS"
            attempts.outcomes[outcome] += 1
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        aside.rename(path)
    outside.unlink(missing_ok=True)
    return attempts


def _link(target: str | Path) -> Callable[[Path], None]:
    return lambda path: os.symlink(target, path)


def _socket(path: Path) -> None:
    # The name of a socket has 107 bytes at most, so it is made by a relative one.
    here = os.open(".", os.O_RDONLY)
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.fchdir(here)
        os.close(here)
