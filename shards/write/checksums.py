"""Size and SHA-256 of files that are written."""

import errno
import hashlib
import os
from pathlib import Path

from shards.metadata.entries import FileInfo
from shards.storage.names import named
from shards.storage.safe_open import open_regular_file


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal; errors as `describe_file`."""
    return _describe(path)[1]


def describe_file(folder: Path, path: str) -> FileInfo:
    """Return size and SHA-256 of a file of a store, of which `path` is the path within it.

    Raises:
        OSError: it cannot be read to its end, or is no regular file.
    """
    return FileInfo(path, *_describe(folder / path))


def _describe(path: Path) -> tuple[int, str]:
    with named(path), open_regular_file(path) as file:
        # By its name: a read that ends early must not pass for the whole.
        size = os.stat(path).st_size
        digest = hashlib.file_digest(file, "sha256")
        if (end := file.tell()) != size:
            raise OSError(errno.EIO, f"it ends after {end:,} bytes, expected {size:,}", str(path))
    return size, digest.hexdigest()
