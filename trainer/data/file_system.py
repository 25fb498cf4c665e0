"""Choice of the order that suits the file system of a store."""

from pathlib import Path
from typing import Final

from shards.runtime.filesystem import MOUNTS, file_system
from shards.storage.remote.address import Address
from trainer.data.order import Kind

NETWORK_FILE_SYSTEMS: Final = (
    *("9p", "afs", "beegfs", "ceph", "cifs", "gpfs", "lustre", "nfs", "orangefs", "panfs", "smb", "virtiofs", "wekafs"),
    "fuse.",
)
"""Prefixes of the types of file systems that have a network, or another host, behind them. The types of sshfs, s3fs,
gcsfuse, glusterfs and the like begin with `fuse.`, whereas `fuseblk` is a local disk."""


def choose_kind(folder: Path, mounts: Path = MOUNTS) -> tuple[Kind, str]:
    """Return the kind of order for a store in a folder, and the reason as a clause.

    It is `block` on object storage and network file systems, where it pays to read in sequence, and `global` elsewhere.

    Args:
        folder: of the store.
        mounts: where Linux says what is mounted.
    """
    if isinstance(folder, Address):
        return "block", f"{folder} is on object storage"
    try:
        kind = file_system(folder, mounts)
    except OSError:
        return "global", f"the file system of {folder} is unknown without {mounts}"
    if kind is None:
        return "global", f"the file system of {folder} is unknown"
    if kind == "fuse" or kind.startswith(NETWORK_FILE_SYSTEMS):
        return "block", f"{folder} is on {kind}, a network file system"
    return "global", f"{folder} is on {kind}, no network file system"
