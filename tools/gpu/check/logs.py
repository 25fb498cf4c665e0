"""The logs of all commands, as one file."""

import tarfile
from pathlib import Path

from shards.storage.atomic import atomic_write


def pack(folder: Path, target: Path) -> None:
    """Pack the files of a folder into a tar with gzip, in place of the one that is there.

    Args:
        folder: of the logs; without it, the tar is empty.
        target: the tar.
    """
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    with atomic_write(target) as file, tarfile.open(fileobj=file, mode="w:gz") as tar:
        for path in files:
            tar.add(path, arcname=f"{folder.name}/{path.name}")
