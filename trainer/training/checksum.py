"""Files of torch with a checksum inside: a flipped bit must not become a weight.

`torch.save` writes a ZIP archive. The SHA-256 of that archive goes into the archive's comment, at its very end, so the
file stays one that `torch.load` and any ZIP tool open.
"""

import hashlib
import io
import os
import pickle
import struct
from pathlib import Path
from typing import Any, Final

import torch

from shards.durable import atomic_write
from shards.regular import open_regular_file
from trainer.errors import BadCheckpoint

_PREFIX: Final = b"sha256="
_COMMENT_BYTES: Final = len(_PREFIX) + 64
_END: Final = b"PK\x05\x06"
"""Signature of a ZIP archive's last part, of 22 bytes with an empty comment, which ends in the comment's length."""
_LENGTH: Final = struct.Struct("<H")


def write(path: Path, values: dict[str, Any]) -> None:
    """Write values as `torch.save` does, with a checksum; whole or not at all."""
    buffer = io.BytesIO()
    torch.save(values, buffer)
    content = buffer.getvalue()
    assert content[-22:-18] == _END
    assert content[-2:] == _LENGTH.pack(0)
    with atomic_write(path) as file:
        file.write(content[:-2])
        file.write(_LENGTH.pack(_COMMENT_BYTES) + _PREFIX + hashlib.sha256(content).hexdigest().encode())


def is_marked(path: Path) -> bool:
    """Whether a file ends as those of `write` do, whatever it holds."""
    with open_regular_file(path) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _COMMENT_BYTES))
        return file.read(len(_PREFIX)) == _PREFIX


def read(path: Path) -> dict[str, Any]:
    """Read what `write` has written, to the CPU. Nothing in the file is executed.

    Raises:
        BadCheckpoint: it is no such file, or is not what was written.
        OSError: it cannot be read.
    """
    data = path.read_bytes()
    content, comment = data[:-_COMMENT_BYTES], data[-_COMMENT_BYTES:]
    if not comment.startswith(_PREFIX) or content[-22:-18] != _END:
        raise BadCheckpoint(f"{path} is not a whole checkpoint of this program: it does not end in a checksum")
    original = content[:-2] + _LENGTH.pack(0)
    expected = comment[len(_PREFIX) :].decode("latin1")
    if (found := hashlib.sha256(original).hexdigest()) != expected:
        raise BadCheckpoint(f"{path} is damaged: it has SHA-256 {found}, expected {expected}")
    try:
        values: dict[str, Any] = torch.load(io.BytesIO(original), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as err:
        raise BadCheckpoint(f"{path} is not a checkpoint of this program: {err}") from err
    return values
