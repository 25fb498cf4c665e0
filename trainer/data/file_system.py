"""Which order suits the file system that a store lies on."""

import os
import re
from pathlib import Path
from typing import Final

from trainer.data.order import Kind

MOUNTS: Final = Path("/proc/self/mounts")
NETWORK_FILE_SYSTEMS: Final = (
    *("9p", "afs", "beegfs", "ceph", "cifs", "gpfs", "lustre", "nfs", "orangefs", "panfs", "smb", "virtiofs", "wekafs"),
    "fuse.",
)
"""How the types of file systems begin that have a network, or another host, behind them. With `fuse.` begin sshfs,
s3fs, gcsfuse, glusterfs and the like, whereas `fuseblk` is a local disk."""


def choose_kind(folder: Path, mounts: Path = MOUNTS) -> tuple[Kind, str]:
    """Return the kind of order for a store in a folder, and the reason as a clause.

    It is `block` on network file systems, where it pays to read in sequence, and `global` elsewhere.

    Args:
        folder: of the store.
        mounts: where Linux says what is mounted.
    """
    try:
        content = mounts.read_bytes()
    except OSError:
        return "global", f"the file system of {folder} is unknown, for lack of {mounts}"
    kind = file_system(folder.resolve(), content)
    if kind is None:
        return "global", f"the file system of {folder} is unknown"
    if kind == "fuse" or kind.startswith(NETWORK_FILE_SYSTEMS):
        return "block", f"{folder} is on {kind}, a network file system"
    return "global", f"{folder} is on {kind}, no network file system"


def file_system(path: Path, mounts: bytes) -> str | None:
    """Return the type of the file system that holds a path; None where no mount point does.

    Args:
        path: absolute, without symbolic links.
        mounts: content of /proc/self/mounts: device, mount point and type in each line, blanks in them as octal
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
