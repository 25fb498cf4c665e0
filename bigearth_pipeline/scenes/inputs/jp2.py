"""JPEG 2000 files: the check that one is whole.

Decoders fill what is missing of a file that was cut off with zeros or stop in the middle of a scene. Boxes and markers:
ISO/IEC 15444-1, annexes I.4 and A.4.
"""

import os
import struct
from pathlib import Path
from typing import IO, Final

from bigearth_pipeline.errors import BadScene
from shards.storage.safe_open import open_regular_file

_SIGNATURE: Final = bytes.fromhex("0000000c6a5020200d0a870a")
_END_OF_CODESTREAM: Final = b"\xff\xd9"
_MAX_BOXES: Final = 1024
_CHUNK_BYTES: Final = 1 << 20


def check_member(file: IO[bytes], size: int, shown: str) -> None:
    """Check that a JPEG 2000 file in an archive is not cut off, and read it to its end, which compares its checksum.

    GDAL reports a wrong checksum on stderr, and decodes what there is.

    Args:
        file: the file from its beginning.
        size: its length in bytes.
        shown: name for messages.

    Raises:
        BadScene: it is cut off, or no JPEG 2000.
    """
    _codestream_end(file, size, shown, beyond=False)
    while file.read(_CHUNK_BYTES):
        pass


def check_jp2(path: Path) -> None:
    """Check that a file is JPEG 2000 and not cut off: its boxes fill it, and its codestream has an end.

    Raises:
        BadScene: it is not.
        OSError: it cannot be read.
    """
    with open_regular_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        end = _codestream_end(file, size, str(path), beyond=True)
        file.seek(end - len(_END_OF_CODESTREAM))
        if file.read(2) != _END_OF_CODESTREAM:
            raise BadScene(f"{path} was cut off after {size:,} bytes: its codestream has no end")


def _codestream_end(file: IO[bytes], size: int, shown: str, *, beyond: bool) -> int:
    """Return where the codestream ends; `beyond`: read the boxes after it, too."""
    if file.read(len(_SIGNATURE)) != _SIGNATURE:
        raise BadScene(f"{shown} is no JPEG 2000 file: it does not begin as one")
    at, end_of_codestream = len(_SIGNATURE), 0
    for _ in range(_MAX_BOXES):
        if at >= size or (end_of_codestream and not beyond):
            break
        file.seek(at)
        header = file.read(16)
        if len(header) < 8:
            raise _cut_off(shown, size, at + 8)
        length, kind = struct.unpack_from(">I4s", header)
        if length == 1 and len(header) == 16:
            (length,) = struct.unpack_from(">Q", header, 8)
        end = size if length == 0 else at + length
        if end > size:
            raise _cut_off(shown, size, end)
        if end <= at:
            raise BadScene(f"{shown} is damaged: a box of JPEG 2000 has no length")
        if kind == b"jp2c":
            end_of_codestream = end
        at = end
    if not end_of_codestream:
        raise BadScene(f"{shown} has no codestream: it was cut off, or is damaged")
    return end_of_codestream


def _cut_off(shown: str, size: int, expected: int) -> BadScene:
    return BadScene(f"{shown} was cut off: it has {size:,} bytes, expected at least {expected:,}")
