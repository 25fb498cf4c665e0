"""Members that no archive of BigEarthNet has: the patch is refused with the member's name, or the archive is."""

import json
import shutil
import tarfile
from pathlib import Path

import pytest

from bigearth_pipeline.build.config import BuildConfig
from bigearth_pipeline.build.run import build
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.workers import InProcess
from shards.write.contents import QUARANTINE
from tests.support.data.archives import member, write_archive
from tests.support.data.building import Recorder, contents
from tests.support.data.scene import PRODUCT
from tests.support.data.small_tree import build_here

KEY = f"{PRODUCT}_00_03"
FOLDER = f"BigEarthNet-S2/{PRODUCT}/{KEY}"
BAND = f"{FOLDER}/{KEY}_B03.tif"


@pytest.mark.product
@pytest.mark.parametrize(
    ("replaces", "hostile", "message"),
    [
        (True, member("/" + BAND, b"x"), f"member /{BAND} has an absolute path"),
        (True, member(f"x/../{BAND}", b"x"), f"member x/../{BAND} has a path with '..'"),
        (False, member(f"../../{BAND}", b"x"), f"member ../../{BAND} has a path with '..'"),
        (True, member(BAND, type=tarfile.SYMTYPE, linkname="/etc/passwd"), f"{BAND} is a symbolic link to /etc/passwd"),
        (True, member(BAND, type=tarfile.LNKTYPE, linkname="other"), f"member {BAND} is a hard link to other"),
        (True, member(BAND, type=tarfile.CHRTYPE), f"member {BAND} is a device"),
        (True, member(BAND, type=tarfile.BLKTYPE), f"member {BAND} is a device"),
        (True, member(BAND, type=tarfile.FIFOTYPE), f"member {BAND} is a named pipe"),
        (True, member(BAND, type=b"Z"), f"member {BAND} is of an unknown type"),
        (True, member(BAND, type=tarfile.GNUTYPE_SPARSE), f"member {BAND} is a sparse file"),
        (True, member(BAND, bytes(65 << 20)), f"{BAND} cannot be read: it has 68,157,440 bytes, expected at most"),
        (False, member(BAND, b"x"), f"member {BAND} is in the archive twice"),
        (False, member(BAND.replace(".tif", ".TIF"), b"x"), f"holds {KEY}_B03.TIF and {KEY}_B03.tif"),
        (False, member(FOLDER, type=tarfile.SYMTYPE, linkname=".."), f"member {FOLDER} is a symbolic link to .."),
        (True, member(BAND, b"II*\0" + b"\xff" * 99), f"{BAND} is not a readable TIFF"),
        (True, member(BAND, type=tarfile.DIRTYPE), f"{BAND} is missing"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_the_patch_of_a_hostile_member_is_refused(
    files: dict[str, bytes], beside: Path, replaces: bool, hostile: tuple[tarfile.TarInfo, bytes], message: str,
    first: bool,
) -> None:  # fmt: skip
    """A member that is not what it seems ends up in the store, outside of the archive's folder, or as a traceback."""
    others = {name: content for name, content in files.items() if not (replaces and name == BAND)}
    archive = write_archive(beside / "a.tar", others, more=(hostile,), first=first)
    before = set(beside.parent.iterdir())
    build_here(beside / "out", archive, allow_bad=1)
    (bad,) = [json.loads(line) for line in (beside / "out" / QUARANTINE).read_text().splitlines()]
    assert bad["key"] == KEY
    assert message in bad["reason"]
    assert bad["folder"] == f"{archive}/{FOLDER}"
    # Nothing is made of the names of members.
    assert set(beside.parent.iterdir()) == before
    assert {path.name for path in beside.iterdir()} == {"a.tar", "metadata.parquet", "out"}


def test_hostile_members_of_no_patch_are_skipped_and_said(files: dict[str, bytes], store: Path, beside: Path) -> None:
    """A link or a device that no patch needs keeps a build from its end, or nobody learns of it."""
    odd = (member("/etc/passwd", b"x"), member("link", type=tarfile.SYMTYPE, linkname="/"), member("../\x1b[2J", b""))
    archive = write_archive(beside / "a.tar", files, more=odd)
    progress = Recorder()
    build(BuildConfig((archive,), beside / "out", patches_per_shard=2), progress=progress, pool=InProcess())
    said = [line for line in progress.lines if "skipped" in line]
    assert said == [
        "skipped 3 members that are neither files nor folders of a tree, the first: /etc/passwd, which has an absolute "
        "path"
    ]
    ours, theirs = contents(store), contents(beside / "out")
    assert {name for name in ours if ours[name] != theirs[name]} == {"build.json"}


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tar.zst", "a.tar.bz2", "a.tar.xz"])
def test_an_archive_that_is_cut_off_leaves_no_store(files: dict[str, bytes], beside: Path, name: str) -> None:
    """A store is finished without the patches that a truncated archive lacks."""
    archive = write_archive(beside / name, files)
    whole = archive.read_bytes()
    for part in (0.3, 0.9):
        archive.write_bytes(whole[: int(len(whole) * part)])
        progress = Recorder()
        config = BuildConfig(sources=(archive,), out=beside / "out", patches_per_shard=2)
        with pytest.raises(PipelineError, match="cut off"):
            build(config, progress=progress, pool=InProcess())
        assert not (beside / "out" / "manifest.json").exists()
        # A folder that stays is said, for it can be as large as the store.
        stays = [line for line in progress.lines if "stays" in line]
        assert len(stays) == len(list(beside.glob("*.spool")))
        assert all(str(folder) in line for folder, line in zip(beside.glob("*.spool"), stays, strict=True))
        shutil.rmtree(beside / "out", ignore_errors=True)


def test_a_bomb_is_refused_by_what_its_header_says(files: dict[str, bytes], beside: Path) -> None:
    """A few kilobytes that unpack to terabytes keep a build busy for days."""
    info, _ = member("zeros", b"")
    info.size = 1 << 42
    head = info.tobuf(tarfile.GNU_FORMAT)
    archive = write_archive(beside / "a.tar", files)
    archive.write_bytes(head + archive.read_bytes())
    with pytest.raises(PipelineError, match="member zeros has 4,398,046,511,104 bytes, expected at most 4,294,967,296"):
        build_here(beside / "out", archive)


def test_an_archive_with_an_official_name_and_another_content(
    files: dict[str, bytes], store: Path, beside: Path
) -> None:
    """A made-up archive passes for the official one, or a store cannot be built from a part of it."""
    archive = write_archive(beside / "BigEarthNet-S2.tar.zst", files)
    progress = Recorder()
    build(BuildConfig((archive,), beside / "out", patches_per_shard=2), progress=progress, pool=InProcess())
    (said,) = [line for line in progress.lines if "MD5" in line]
    assert "expected 2245ed2d1a93f6ce637d839bc856396e" in said
    assert f"it has {archive.stat().st_size:,} bytes, the official one 63,251,710,377" in said
