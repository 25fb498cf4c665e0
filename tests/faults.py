"""Damage of the kinds that disks, networks and people do."""

import shutil
from pathlib import Path


def copy(folder: Path, target: Path) -> Path:
    """Return a copy of a store that may be damaged."""
    shutil.copytree(folder, target)
    return target


def flip_bit(path: Path, offset: int, bit: int = 3) -> None:
    """Invert one bit of a file."""
    with open(path, "r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ 1 << bit]))


def truncate(path: Path, size: int) -> None:
    """Cut a file off."""
    with open(path, "r+b") as file:
        file.truncate(size)
