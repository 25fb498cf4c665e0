"""Objects that are written: each appears as a whole, and one whose answer was lost is recognised by reading back."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from shards.storage.names import named
from shards.storage.remote.attempts import attempt, system_error
from shards.storage.remote.client import Client, Unsent
from shards.storage.remote.failures import Refused

_PART: Final = 16 << 20
"""Bytes of the parts in which longer objects are sent. S3 takes 10,000 parts of 5 MiB to 5 GiB."""


def put_file(client: Client, name: str, path: Path, check: Callable[[], object] = lambda: None) -> str | None:
    """Send a file, in parts if it is long, and return the tag of the object.

    An answer that is lost is of no matter: the same bytes are sent again.

    Args:
        client: for requests.
        name: of the object.
        path: of the file.
        check: called before each part of a long file is read; what it raises ends the upload, of which nothing stays.

    Raises:
        OSError: the file cannot be read, or the object cannot be written or has another size afterwards.
    """

    def blocks() -> Iterator[bytes]:
        try:
            with named(path), open(path, "rb") as file:
                while block := file.read(_PART):
                    check()
                    yield block
        except Exception as err:
            raise Unsent from err

    with named(path):
        size = path.stat().st_size
        content = path.read_bytes() if size <= _PART else b""
    try:
        if size > _PART:
            attempt(lambda: client.put_parts(name, blocks, _PART))
        else:
            attempt(lambda: client.put(name, content))
        # Not every server compares what it got with what was sent.
        found = attempt(lambda: client.head(name))
        if found.size_bytes != size:
            raise Refused("changed", f"it has {found.size_bytes} bytes after it was written, expected {size}")
    except Refused as err:
        raise system_error(client.address / name, err) from None
    except Unsent as err:
        raise (err.__cause__ or err) from None
    return found.tag


def put_once(client: Client, name: str, content: bytes) -> bool:
    """Write an object that must not be there yet; return False if it is, with other bytes.

    Whether an object with the same bytes is ours, after an answer that was lost, or another's makes no difference.

    Raises:
        OSError: it cannot be written.
    """
    try:
        try:
            attempt(lambda: client.put(name, content, mode="create"))
        except Refused as err:
            if err.kind != "exists":
                raise
        answer = attempt(lambda: client.get_whole(name, len(content)))
    except Refused as err:
        raise system_error(client.address / name, err) from None
    return answer.size_bytes == len(content) and _digest(bytes(answer.content)) == _digest(content)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
