"""Whole objects, copied into a local folder by several requests each."""

import errno
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from shards.storage.base import FileEntry
from shards.storage.names import named
from shards.storage.remote.attempts import attempt, system_error
from shards.storage.remote.client import Client
from shards.storage.remote.failures import Refused

_PART: Final = 8 << 20
_AT_A_TIME: Final = 12


def copy_objects(client: Client, files: Sequence[FileEntry], folder: Path) -> None:
    """Copy objects into a folder, which then holds those that there are, as long as they are.

    Args:
        client: for requests.
        files: names, and sizes that they are expected to have.
        folder: where they get the same names; folders are made.

    Raises:
        OSError: an object cannot be read, or a file cannot be written.
    """
    with ThreadPoolExecutor(_AT_A_TIME, "copy") as pool:
        first = list(pool.map(lambda file: _first(client, file.name, folder / file.name), files))
        sizes = [(file.name, size or 0) for file, size in zip(files, first, strict=True)]
        rest = [(name, start, min(start + _PART, size)) for name, size in sizes for start in range(_PART, size, _PART)]
        list(pool.map(lambda part: _part(client, part[0], part[1], part[2], folder / part[0]), rest))


def _first(client: Client, name: str, target: Path) -> int | None:
    """Copy the first part of an object; return its size, None if it is absent."""
    try:
        answer = attempt(lambda: client.get(name, 0, _PART))
    except Refused as err:
        if err.kind == "absent":
            return None
        if err.kind != "range":  # It is empty.
            raise system_error(client.address / name, err) from None
        content, size = b"", 0
    else:
        content, size = answer.content, answer.size_bytes
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target, "wb") as file, named(target):
        file.write(content)
        file.truncate(size)
    return size


def _part(client: Client, name: str, start: int, end: int, target: Path) -> None:
    try:
        content = memoryview(attempt(lambda: client.get(name, start, end)).content)
    except Refused as err:
        raise system_error(client.address / name, err) from None
    if len(content) != end - start:
        raise OSError(errno.EIO, "it was changed meanwhile", str(client.address / name))
    descriptor = os.open(target, os.O_WRONLY | os.O_CLOEXEC)
    try:
        with named(target):
            while content:
                count = os.pwrite(descriptor, content, start)
                content, start = content[count:], start + count
    finally:
        os.close(descriptor)
