"""The kind of order by the file system."""

from pathlib import Path

import pytest

from trainer.data.file_system import choose_kind


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
    assert "without" in choose_kind(tmp_path, tmp_path / "absent")[1]
    (tmp_path / "mounts").write_text("")
    assert choose_kind(tmp_path, tmp_path / "mounts") == ("global", f"the file system of {tmp_path} is unknown")
