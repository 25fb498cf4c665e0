"""Files of torch with a checksum inside: a flipped bit must not become a weight.

`torch.save` writes a ZIP archive. The SHA-256 of that archive goes into the archive's comment, at its very end, so the
file stays one that `torch.load` and any ZIP tool open.
"""

import hashlib
import io
import os
import struct
import zipfile
from pathlib import Path
from typing import IO, Any, Final

import torch

from shards.storage.atomic import atomic_write
from shards.storage.safe_open import open_regular_file
from trainer.errors import BadCheckpoint

_PREFIX: Final = b"sha256="
_COMMENT_BYTES: Final = len(_PREFIX) + 64
_END: Final = b"PK\x05\x06"
"""Signature of a ZIP archive's last part, of 22 bytes with an empty comment, which ends in the comment's length."""
_LENGTH: Final = struct.Struct("<H")


def write(path: Path, values: dict[str, Any]) -> None:
    """Write values as `torch.save` does, with a checksum; whole or not at all."""
    # By way of memory: of a full disk, torch's own writer says neither file nor reason.
    buffer = io.BytesIO()
    torch.save(values, buffer)
    content = buffer.getbuffer()
    assert bytes(content[-22:-18]) == _END
    assert bytes(content[-2:]) == _LENGTH.pack(0)
    with atomic_write(path) as file:
        file.write(content[:-2])
        file.write(_LENGTH.pack(_COMMENT_BYTES) + _PREFIX + hashlib.sha256(content).hexdigest().encode())


def is_marked(path: Path) -> bool:
    """True if a file ends as those of `write` do, whatever it holds."""
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
    with open_regular_file(path) as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - _COMMENT_BYTES))
        # Looked at first: a file of another kind may be larger than the memory.
        data = b"" if not file.read().startswith(_PREFIX) else _whole(file)
    content, comment = memoryview(data)[:-_COMMENT_BYTES], data[-_COMMENT_BYTES:]
    if not comment.startswith(_PREFIX) or bytes(content[-22:-18]) != _END:
        raise BadCheckpoint(f"{path} is not a whole checkpoint of this program: it does not end in a checksum")
    digest = hashlib.sha256(content[:-2])
    digest.update(_LENGTH.pack(0))
    expected = comment[len(_PREFIX) :].decode("latin1")
    if (found := digest.hexdigest()) != expected:
        raise BadCheckpoint(f"{path} is damaged: it has SHA-256 {found}, expected {expected}")
    try:
        _check_archive(data)
        values: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except MemoryError:  # The checksum is right, so the file is not to blame.
        raise
    except Exception as err:  # A file that was made to look like ours can fail in torch in any way.
        reason = str(err).partition("\n")[0] or type(err).__name__
        raise BadCheckpoint(f"{path} is not a checkpoint of this program: {reason}") from err
    if not isinstance(values, dict):
        raise BadCheckpoint(f"{path} is not a checkpoint of this program: it holds {type(values).__name__}")
    return values


def _whole(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def _check_archive(content: bytes) -> None:
    """Raise ValueError if the archive is not as `torch.save` makes it: packed, or larger unpacked than it is."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ValueError("it is compressed")
    if sum(entry.file_size for entry in entries) > len(content):
        raise ValueError("its entries are longer than the file")
