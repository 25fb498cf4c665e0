"""Parts of STAC items and collections."""

import hashlib
import re
from pathlib import Path
from typing import Any, Final

_SHA256: Final = "1220"
"""Multihash of SHA-256: its code, and 32 bytes."""


def slug(name: str) -> str:
    """Return the name of a class in letters, digits and `_`, as the extension classification asks for."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_fields(size_bytes: int, sha256: str) -> dict[str, Any]:
    """Return the fields of the extension file: size, and checksum as a multihash."""
    return {"file:size": size_bytes, "file:checksum": _SHA256 + sha256}
