"""Damage of the kinds that disks, networks and people do."""

import ctypes
import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shards.metadata.manifest import MANIFEST
from shards.metadata.seal import sealed


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


def without_flock(code: int) -> None:
    """Let the kernel refuse `flock` with an error number from now on, as file systems without locks do.

    It lasts for this process and its children. A seccomp filter does it, seccomp(2): load the number of the system
    call; if it is not `flock`, skip the next instruction; return the error; allow.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    flock = {"x86_64": 73, "aarch64": 32}[os.uname().machine]
    program = [(0x20, 0, 0, 0), (0x15, 0, 1, flock), (0x06, 0, 0, 0x0005_0000 | code), (0x06, 0, 0, 0x7FFF_0000)]
    filters = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    header = ctypes.create_string_buffer(struct.pack("HP", len(program), ctypes.addressof(filters)))
    no_new_privileges, seccomp, mode_filter = 38, 22, 2
    for arguments in ((no_new_privileges, 1, 0, 0, 0), (seccomp, mode_filter, header)):
        if libc.prctl(*arguments):
            raise OSError(ctypes.get_errno(), "seccomp is not allowed here")
