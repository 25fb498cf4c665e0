"""The type of the file system that a path or a file lies on.

The advice that follows from it, such as how to order reads, is for those who ask.
"""

import ctypes
import os
import re
from pathlib import Path
from typing import Final

MOUNTS: Final = Path("/proc/self/mounts")
"""File in which Linux lists what is mounted."""
MEMORY: Final = ("tmpfs", "ramfs")
"""Types of file systems whose files are pages of memory and nothing else."""

_MEMORY_MAGIC: Final = (0x01021994, 0x858458F6)
"""`TMPFS_MAGIC` and `RAMFS_MAGIC` of linux/magic.h."""
_STATFS_BYTES: Final = 512
"""More than `struct statfs` takes on any processor; its first field, a word, is the type of the file system."""


def file_system(path: Path, mounts: Path = MOUNTS) -> str | None:
    """Return the type of the file system that holds a path, such as `tmpfs`; None where no mount point does.

    Args:
        path: need not exist; symbolic links are followed.
        mounts: file that says what is mounted.

    Raises:
        OSError: `mounts` cannot be read.
    """
    return innermost(path.resolve(), mounts.read_bytes())


def innermost(path: Path, mounts: bytes) -> str | None:
    """Return the type of the file system with the innermost mount point above a path; None if no mount point is known.

    Args:
        path: absolute, without symbolic links.
        mounts: in the form of /proc/self/mounts: device, mount point and type in each line, blanks in them as octal
            escapes (`man 5 fstab`).
    """
    depth, kind = 0, None
    for line in mounts.splitlines():
        _, escaped, name, *_ = line.split(b" ")
        point = Path(os.fsdecode(re.sub(rb"\\([0-3][0-7]{2})", lambda code: bytes([int(code[1], 8)]), escaped)))
        # Of two mounts at one place the later one hides the earlier one.
        if path.is_relative_to(point) and len(point.parts) >= depth:
            depth, kind = len(point.parts), os.fsdecode(name)
    return kind


def is_in_memory(descriptor: int) -> bool:
    """Return whether an open file lies in a memory file system, as the kernel says of the file itself."""
    # `os.fstatvfs` leaves out the type.
    status = (ctypes.c_ulong * (_STATFS_BYTES // ctypes.sizeof(ctypes.c_ulong)))()
    return ctypes.CDLL(None).fstatfs(descriptor, status) == 0 and status[0] in _MEMORY_MAGIC
