"""Objects that are written: each appears as a whole, and one whose answer was lost is recognised by reading back."""

import hashlib
from pathlib import Path
from typing import Final

from shards.storage.names import named
from shards.storage.remote.attempts import attempt, system_error
from shards.storage.remote.client import Client, Refused

_PART: Final = 16 << 20
"""Bytes of the parts in which longer objects are sent. S3 takes 10,000 parts of 5 MiB to 5 GiB."""


def put_file(client: Client, name: str, path: Path) -> str | None:
    """Send a file, in parts if it is long, and return the tag of the object.

    An answer that is lost is of no matter: the same bytes are sent again.

    Raises:
        OSError: the file cannot be read, or the object cannot be written or has another size afterwards.
    """
    with named(path):
        size = path.stat().st_size
    try:
        attempt(lambda: client.put(name, path, part=_PART if size > _PART else 0))
        # Not every server compares what it got with what was sent.
        found = attempt(lambda: client.head(name))
        if found.size_bytes != size:
            raise Refused("changed", f"it has {found.size_bytes} bytes after it was written, expected {size}")
    except Refused as err:
        raise system_error(client.address / name, err) from None
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
