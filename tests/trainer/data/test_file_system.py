"""The kind of order by the file system."""

import shutil
import subprocess
from pathlib import Path

import pytest

from trainer.data.file_system import choose_kind, file_system

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
    assert file_system(Path(path), MOUNTS) == kind


def test_no_mount_point_is_no_file_system() -> None:
    """A container that does not show its root ends in an error."""
    assert file_system(Path("/data"), b"server:/export /mnt nfs4 rw 0 0\n") is None
    assert file_system(Path("/data"), b"") is None


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((name, "block") for name in ("nfs", "nfs4", "cifs", "smb3", "lustre", "gpfs", "ceph", "beegfs", "9p")),
        *((name, "block") for name in ("fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse", "fuse", "virtiofs")),
        *((name, "global") for name in ("ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "fuseblk", "ntfs3")),
    ],
)
def test_network_file_systems_are_read_in_blocks(tmp_path: Path, name: str, kind: str) -> None:
    """A store on a server is read one record here and one there, or one on a local disk loses its exact permutation."""
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\nsource {tmp_path.resolve()} {name} rw 0 0\n")
    chosen, reason = choose_kind(tmp_path / "store", mounts)
    assert chosen == kind
    assert f"{tmp_path / 'store'} is on {name}, " in reason


def test_links_are_followed(tmp_path: Path) -> None:
    """A link on the local disk to a server counts as local."""
    (tmp_path / "server").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "server")
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\nsource {tmp_path.resolve() / 'server'} nfs rw 0 0\n")
    assert choose_kind(tmp_path / "link", mounts)[0] == "block"
    assert choose_kind(tmp_path, mounts)[0] == "global"


def test_unknown_file_systems_are_taken_for_local(tmp_path: Path) -> None:
    """Training cannot start where there is no /proc."""
    assert choose_kind(tmp_path, tmp_path / "absent")[0] == "global"
    assert "for lack of" in choose_kind(tmp_path, tmp_path / "absent")[1]
    (tmp_path / "mounts").write_text("")
    assert choose_kind(tmp_path, tmp_path / "mounts") == ("global", f"the file system of {tmp_path} is unknown")


def test_findmnt_agrees(tmp_path: Path) -> None:
    """The file system of this machine is read wrongly."""
    command = shutil.which("findmnt")
    if command is None:
        pytest.skip("there is no findmnt")
    found = subprocess.run([command, "-no", "FSTYPE", "-T", tmp_path], check=True, capture_output=True, text=True)
    assert file_system(tmp_path.resolve(), Path("/proc/self/mounts").read_bytes()) == found.stdout.strip()
