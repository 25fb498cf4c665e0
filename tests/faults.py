"""Damage of the kinds that disks, networks and people do."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shards.manifest import MANIFEST, sealed


def copy(folder: Path, target: Path) -> Path:
    """Return a copy of a store that may be damaged."""
    shutil.copytree(folder, target)
    return target


def edit_manifest(folder: Path, change: Callable[[Any], object]) -> None:
    """Change the fields of a manifest, and give it the checksum that fits."""
    raw = json.loads((folder / MANIFEST).read_bytes())
    change(raw)
    (folder / MANIFEST).write_text(json.dumps(sealed(raw)))


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
