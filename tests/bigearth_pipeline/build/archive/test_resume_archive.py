"""A build from an archive that was killed: the same command ends it, with the same bytes, and reads little twice."""

import os
import random
import re
import shutil
import signal
import time
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from bigearth_pipeline.build.archive import passes, spool
from bigearth_pipeline.build.archive.room import check_room, needed_bytes
from bigearth_pipeline.build.config import BuildConfig
from bigearth_pipeline.build.run import BuildSummary, build
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.source.archive import gather
from bigearth_pipeline.workers import InProcess
from shards.testing.calls import Call, intercepted
from tests.bigearth_pipeline.build.archive.test_same_store import assert_same
from tests.support.data import faults
from tests.support.data.archives import write_archive
from tests.support.data.building import Recorder


def _build(out: Path, archive: Path, **options: object) -> tuple[BuildSummary, list[str]]:
    progress = Recorder()
    config = BuildConfig((archive,), out, **({"patches_per_shard": 2} | options))
    return build(config, progress=progress, pool=InProcess()), progress.lines


def _kill_after(seconds: float, out: Path, archive: Path) -> bool:
    """Build in a child that is killed after a time; return whether it was."""
    process = os.fork()
    if process == 0:
        status = 1
        try:
            _build(out, archive)
            status = 0
        finally:
            os._exit(status)
    time.sleep(seconds)
    os.kill(process, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL


@pytest.mark.long
@pytest.mark.parametrize("name", ["a.tar.zst", "a.tar.gz"])
def test_a_build_killed_at_any_moment_resumes(files: dict[str, bytes], store: Path, beside: Path, name: str) -> None:
    """A kill leaves records, notes or a spool that the next run trusts too much, or trips over."""
    archive = write_archive(beside / name, files, order=3)
    began = time.monotonic()
    _build(beside / "whole", archive)
    whole = time.monotonic() - began
    rng = random.Random(name)
    killed = 0
    for attempt in range(6):
        out = beside / f"out{attempt}"
        for _ in range(2):
            killed += _kill_after(rng.uniform(0, 1.2 * whole), out, archive)
        _build(out, archive)
        assert_same(store, out)
    assert killed >= 3
    assert not list(beside.glob("*.spool"))


_NAMING = ("create", "mkdir", "unlink", "rmdir", "rename")
"""Calls that change which names are there."""


def _kill_at(nth: int, out: Path, archive: Path) -> None:
    """Build in a child that is killed at its n-th call that changes names beside or in the store."""
    process = os.fork()
    if process == 0:
        left = nth

        def handle(call: Call) -> Any:
            nonlocal left
            left -= call.name in _NAMING
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call.perform()

        try:
            with intercepted(out.parent, handle):
                _build(out, archive)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL


@pytest.mark.long
def test_a_build_killed_before_it_has_saved_anything_resumes(
    files: dict[str, bytes], store: Path, beside: Path
) -> None:
    """Files that a kill leaves before the first record is there are taken for somebody else's."""
    archive = write_archive(beside / "a.tar", files)
    place = beside / "place"
    states = set()
    for nth in count(1):
        place.mkdir()
        _kill_at(nth, place / "out", archive)
        has_records = list(place.glob("*.spool/*.spool"))
        # Temporary names differ from run to run.
        state = frozenset(re.sub(r"\d+\.[0-9a-f]{8}", "", str(path)) for path in place.rglob("*"))
        if state not in states:
            states.add(state)
            _build(place / "out", archive)
            assert_same(store, place / "out")
            assert [path.name for path in place.iterdir()] == ["out"]
        shutil.rmtree(place)
        if has_records:
            break
    assert len(states) > 8


def test_a_build_killed_while_it_removes_its_spool_leaves_none(files: dict[str, bytes], beside: Path) -> None:
    """The folder of a spool stays for ever if a build is killed just before that is removed."""
    archive = write_archive(beside / "a.tar", files)
    _build(beside / "out", archive)
    left = spool_folder_of(beside, beside / "out")
    left.mkdir()
    assert _build(beside / "out", archive)[0].finished_before
    assert not left.exists()


def _interrupted(out: Path, archive: Path, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Build until a number of records are spooled, and then fail as a full disk does."""
    append, count = spool.SpoolWriter.append, iter(range(after))

    def failing(*arguments: Any) -> spool.SpoolPlace:
        if next(count, None) is None:
            raise OSError(28, "No space left on device", str(out))
        return append(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(spool.SpoolWriter, "append", failing)
        with pytest.raises(PipelineError, match="no space left"):
            _build(out, archive)


def test_only_the_rest_is_read_again(
    files: dict[str, bytes], store: Path, beside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resumed pass encodes all patches anew."""
    archive = write_archive(beside / "a.tar", files)
    _interrupted(beside / "out", archive, monkeypatch, 5)
    summary, lines = _build(beside / "out", archive)
    assert any(line.startswith("patches that an earlier run has spooled: 5; ") for line in lines)
    assert_same(store, beside / "out")
    assert summary.manifest.count == 8


def test_a_full_disk_is_not_said_of_the_archive(
    files: dict[str, bytes], store: Path, beside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk below the spool is said to be an archive that cannot be read."""
    archive = write_archive(beside / "a.tar", files, order=1)
    full = beside / "full"
    full.symlink_to("/dev/full")
    with monkeypatch.context() as patch:
        patch.setattr(gather.Gatherer.__init__, "__defaults__", (0,))
        patch.setattr(passes, "WAITING", full)
        with pytest.raises(PipelineError, match=f"^no space left on the disk of {beside}; make room"):
            _build(beside / "out", archive)
    assert not full.is_symlink()
    _build(beside / "out", archive)
    assert_same(store, beside / "out")


def test_a_pass_that_was_done_is_not_done_again(
    files: dict[str, bytes], store: Path, beside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build that was killed while it wrote shards reads hours of archive again."""
    archive = write_archive(beside / "a.tar", files)

    def failing(*_: object) -> None:
        raise OSError(28, "No space left on device", str(beside / "out"))

    with monkeypatch.context() as patch:
        patch.setattr(spool.SpoolReader, "read", failing)
        with pytest.raises(PipelineError, match="no space left"):
            _build(beside / "out", archive)
    _, lines = _build(beside / "out", archive)
    assert any("were read by an earlier run; patches in the spool: 8" in line for line in lines)
    assert not any(line.startswith("reading") for line in lines)
    assert_same(store, beside / "out")


@pytest.mark.parametrize("pass_done", [True, False])
def test_a_damaged_record_is_read_again(
    files: dict[str, bytes], store: Path, beside: Path, monkeypatch: pytest.MonkeyPatch, pass_done: bool
) -> None:
    """A bit that flips in the spool ends up in the store."""
    archive = write_archive(beside / "a.tar", files)
    if pass_done:
        with monkeypatch.context() as patch:
            patch.setattr(spool.SpoolReader, "read", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                _build(beside / "out", archive)
    else:
        _interrupted(beside / "out", archive, monkeypatch, 7)
    (folder,) = beside.glob("*.spool")
    for number, path in enumerate(sorted(folder.glob("*.spool"))):
        faults.flip_bit(path, path.stat().st_size * (number + 1) // 3)
    _build(beside / "out", archive)
    assert_same(store, beside / "out")


def test_an_archive_that_has_changed_is_read_anew(
    files: dict[str, bytes], store: Path, beside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Patches of an earlier archive of the same name are mixed with those of the new one."""
    changed = {name: content[:-2] + b"\7\0" for name, content in files.items()}
    archive = write_archive(beside / "a.tar", changed)
    _interrupted(beside / "out", archive, monkeypatch, 5)
    os.utime(write_archive(archive, files), ns=(1, 1))
    _, lines = _build(beside / "out", archive)
    assert not any("earlier run" in line for line in lines)
    assert_same(store, beside / "out")


def test_the_spool_goes_where_it_is_told_to(files: dict[str, bytes], beside: Path, tree: Path) -> None:
    """The spool fills a disk that was to be spared, deletes what is not its own, or stays behind."""
    archive = write_archive(beside / "a.tar", files)
    place = beside / "elsewhere"
    place.mkdir()
    (place / "mine.txt").write_text("mine")
    _build(beside / "out", archive, spool=place)
    assert [path.name for path in place.iterdir()] == ["mine.txt"]
    spooled = spool_folder_of(place, beside / "next")
    spooled.mkdir()
    (spooled / "0000.spool").write_text("mine")
    with pytest.raises(PipelineError, match="is no folder of spool files"):
        _build(beside / "next", archive, spool=place)
    assert (spooled / "0000.spool").read_text() == "mine"
    with pytest.raises(PipelineError, match="has no effect on a build from folders"):
        build(BuildConfig((tree,), beside / "third", spool=place), progress=Recorder(), pool=InProcess())


def spool_folder_of(above: Path, out: Path) -> Path:
    """Return the folder of the spool of a store."""
    from bigearth_pipeline.build.archive.spool_folder import SpoolFolder

    return SpoolFolder(above, out, {}).path


def test_room_is_checked_before_the_start(tmp_path: Path) -> None:
    """A build starts that the disk cannot hold."""
    assert needed_bytes("raw", 10, 1 << 60) == 10 * (160_000 + 2048)
    assert needed_bytes("blosc-lz4", None, 1000) == 1600
    assert check_room(1000, tmp_path / "s", 0, tmp_path / "out").startswith("spool: up to 1 kB in ")
    with pytest.raises(PipelineError, match=r"spool and store may take .* are free; make room"):
        check_room(1 << 60, tmp_path / "s", 0, tmp_path / "out")
    with pytest.raises(PipelineError, match="the store may take"):
        check_room(1 << 60, Path("/proc"), 1 << 60, tmp_path / "out")
