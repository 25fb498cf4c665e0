"""Size and SHA-256 of files that are written."""

import hashlib
from pathlib import Path

from shards.metadata.manifest import FileInfo
from shards.storage.safe_open import open_regular


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    with open(open_regular(path), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe_file(folder: Path, path: str) -> FileInfo:
    """Return size and SHA-256 of a file of a store, of which `path` is the path within it.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    return FileInfo(path, (folder / path).stat().st_size, sha256_of(folder / path))
