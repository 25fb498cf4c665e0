"""Places of a build: full or read-only disks, folders that go away or that others take."""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from bigearth_pipeline.build.claim import claim
from bigearth_pipeline.build.config import read_build_note
from bigearth_pipeline.build.task import write_shard
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.verify.store import verify_store
from tests.bigearth_pipeline.build.resume.building import Build, note_of, write_one
from tests.support.data import faults
from tests.support.data.building import contents
from tests.support.data.scene import PRODUCT
from tests.support.paths import ROOT


def _build_in_rounds(out: Path, note: dict[str, object], marker: Path, code: int) -> None:
    """Take a folder fifteen times, as a build that finishes does; to find another's marker is a double hold."""
    if code:
        faults.without_flock(code)
    held = 0
    while held < 15:
        try:
            with claim(out, note, overwrite=True) as finished:
                if marker.exists() or finished:
                    marker.with_name(f"double-{os.getpid()}").touch()
                marker.touch()
                held += 1
                for name in ("train-00000.tar", ".build/train-00000.json", "manifest.json"):
                    (out / name).write_bytes(b"{}")
                marker.unlink()
        except PipelineError as err:
            if "in use by" not in str(err):
                marker.with_name(f"error-{os.getpid()}").write_text(str(err))


@pytest.mark.parametrize("code", [0, errno.ENOSYS])
def test_four_builders_of_one_folder(store: Path, tmp_path: Path, code: int) -> None:
    """Two builds write into one folder, or one that begins while another ends fails with an odd error."""
    note = note_of(store)
    children = []
    for _ in range(4):
        if (child := os.fork()) == 0:
            failed = 1
            try:
                _build_in_rounds(tmp_path / "s", note, tmp_path / "marker", code)
                failed = 0
            finally:
                os._exit(failed)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert [path.read_text() for path in tmp_path.glob("error-*")] == []
    assert list(tmp_path.glob("double-*")) == []
    assert not (tmp_path / "s" / ".build").exists()


def test_a_build_that_begins_while_another_is_looked_for(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that another build writes after its note was looked for are taken for files of anybody else."""
    out, note = tmp_path / "s", note_of(store)

    def read(folder: Path) -> dict[str, object] | None:
        monkeypatch.undo()
        found = read_build_note(folder)
        faults.copy(store, out)
        return found

    monkeypatch.setattr("bigearth_pipeline.build.claim.read_build_note", read)
    with claim(out, note, overwrite=True):
        assert not (out / "manifest.json").exists()


@contextmanager
def _mounted(folder: Path, *options: str) -> Iterator[Path]:
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", folder], capture_output=True
    ).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize("left", [False, True])
def test_a_finished_store_on_a_read_only_disk(
    tree: Path, scheduler: str, store: Path, tmp_path: Path, left: bool
) -> None:
    """To build what is there already needs a disk that can be written to."""
    with _mounted(tmp_path / "disk", "size=20m") as disk:
        out = faults.copy(store, disk / "s")
        if left:
            (out / ".build").mkdir()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        before = contents(out)
        run = Build(tree, scheduler)
        assert run(out) == 0
        with pytest.raises(PipelineError, match="holds another build: `codec=` was blosc-lz4, now raw"):
            run(out, codec="raw")
        with pytest.raises(PipelineError, match="cannot be written: Read-only file system"):
            run(out, overwrite=True)
        assert contents(out) == before


def test_a_disk_that_is_full_from_the_start(tree: Path, scheduler: str, tmp_path: Path) -> None:
    """A disk without any room ends in a traceback, or in a message about something else."""
    with _mounted(tmp_path / "disk", "size=64k") as disk:
        with suppress(OSError), open(disk / "fill", "wb") as file:
            while True:
                file.write(bytes(4096))
        with pytest.raises(PipelineError, match=r"no space left on the disk of .*/s; make room"):
            Build(tree, scheduler)(disk / "s")


def test_odd_places_are_one_line(tree: Path, scheduler: str, tmp_path: Path) -> None:
    """An `--out` that is no folder, or that lies in the source, ends in a traceback or in a spoilt source."""
    (tmp_path / "file").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    run = Build(tree, scheduler)
    before = sorted(contents(tree))
    root = tree / "BigEarthNet-S2"
    for out, message in [
        (tmp_path / "file", "is a file, expected a folder"),
        (tmp_path / "pipe", "is a named pipe, expected a folder"),
        (tmp_path / "dangling", "is a symbolic link to .*nothing, which does not exist, expected a folder"),
        (root, "lies in the source"),
        (root / "store", "lies in the source"),
        (root / PRODUCT / "store", "lies in the source"),
    ]:
        with pytest.raises(PipelineError, match=message):
            run(out)
    assert sorted(contents(tree)) == before
    assert not (tmp_path / "nothing").exists()


def test_a_folder_that_is_removed_meanwhile_is_not_made_again(tree: Path, tmp_path: Path) -> None:
    """A part of a store appears where the folder was removed during the build."""
    plan, options = write_one(tree, tmp_path / "s", "webdataset")
    shutil.rmtree(options.folder)
    with pytest.raises(OSError, match="the folder was removed while the build runs"):
        write_shard(plan, options, lambda count: None)
    assert not options.folder.exists()


def test_the_folder_of_a_build_without_locks(tree: Path, tmp_path: Path) -> None:
    """A file system without `flock` cannot hold a store."""
    script = "import errno, sys; from tests.support.data import faults; faults.without_flock(errno.ENOSYS); "
    script += "from bigearth_pipeline.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", script, "build-shards", str(tree), "--out", str(tmp_path / "s"), "--workers", "1"]
    # Of its own, for other commands here have locks, and take what has none for that of a killed process. A short path:
    # sockets lie in it.
    with tempfile.TemporaryDirectory() as scratch:
        environment = os.environ | {"TMPDIR": scratch}
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr
    assert "has no locks (Function not implemented)" in done.stderr
    assert verify_store(tmp_path / "s").problems == []
    assert not (tmp_path / "s" / ".build").exists()
