"""The type of the file system that a path lies on."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from shards.runtime.filesystem import MEMORY, file_system, innermost, is_in_memory

MOUNTS = rb"""/dev/sda1 / ext4 rw,relatime 0 0
proc /proc proc rw 0 0
server:/export /data nfs4 rw 0 0
/dev/sdb1 /data/scratch xfs rw 0 0
//host/share /mnt/my\040disk cifs rw 0 0
systemd-1 /auto autofs rw 0 0
server:/auto /auto nfs rw 0 0
 /unnamed tmpfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/home/a/store", "ext4"),
        ("/data", "nfs4"),
        ("/data/store", "nfs4"),
        ("/data/scratch/store", "xfs"),
        ("/data2/store", "ext4"),
        ("/data/scratch2", "nfs4"),
        ("/mnt/my disk/store", "cifs"),
        ("/mnt/my", "ext4"),
        ("/auto/store", "nfs"),
        ("/unnamed/store", "tmpfs"),
    ],
)
def test_the_innermost_mount_point_counts(path: str, kind: str) -> None:
    """A store is taken for one on another disk."""
    assert innermost(Path(path), MOUNTS) == kind


def test_no_mount_point_is_no_file_system() -> None:
    """A container that does not show its root ends in an error."""
    assert innermost(Path("/data"), b"server:/export /mnt nfs4 rw 0 0\n") is None
    assert innermost(Path("/data"), b"") is None


def test_findmnt_agrees(tmp_path: Path) -> None:
    """The file system of this machine is read wrongly."""
    command = shutil.which("findmnt")
    if command is None:
        pytest.skip("there is no findmnt")
    found = subprocess.run([command, "-no", "FSTYPE", "-T", tmp_path], check=True, capture_output=True, text=True)
    assert file_system(tmp_path) == found.stdout.strip()


@pytest.mark.parametrize("folder", ["/", "/dev/shm", "/tmp"])
def test_the_kernel_and_the_mounts_agree(folder: str) -> None:
    """A file on a disk is mapped, or one in memory counts as cold."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        assert is_in_memory(descriptor) == (file_system(Path(folder)) in MEMORY)
    finally:
        os.close(descriptor)
