"""Temporary folders: gone with their process, whichever way it ends, and nobody else's."""

import os
import random
import signal
import time
from pathlib import Path

from shards.runtime.scratch import ScratchFolder


def test_it_goes_with_its_block(tmp_path: Path) -> None:
    """Files of a build that failed stay in the folder for temporary files, or two have one folder."""
    with ScratchFolder("build", tmp_path) as one, ScratchFolder("build", tmp_path) as two:
        (one / "shard.tar").write_text("")
        assert one != two
        assert {one, two} == set(tmp_path.iterdir())
        assert one.stat().st_mode & 0o777 == 0o700
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_leaves_goes_with_the_next(tmp_path: Path) -> None:
    """Gigabytes of shards of a build that was killed stay for ever; or those of one that runs are deleted."""
    mine = ["bep-build.mine", "bep-build.20260101", "bep-build.aaaaaaaa.tmp", "bep-build.bbbbbbbb.tmp"]
    for name in mine[:2]:
        (tmp_path / name).mkdir()
    (tmp_path / mine[2]).symlink_to(tmp_path)
    (tmp_path / mine[3]).write_text("mine")
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        folder = ScratchFolder("build", tmp_path)
        (folder.path / "below").mkdir()
        os.write(writer, str(folder.path).encode())
        signal.pause()
    left = Path(os.read(reader, 1000).decode())
    ScratchFolder("build", tmp_path).close()
    assert left.is_dir()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    ScratchFolder("verify", tmp_path).close()
    assert {path.name for path in tmp_path.iterdir()} == set(mine)


def test_a_forked_child_deletes_nothing(tmp_path: Path) -> None:
    """A child that closes what it has inherited deletes the folder of its parent, or keeps it from being deleted."""
    folder = ScratchFolder("build", tmp_path)
    if (child := os.fork()) == 0:
        try:
            folder.close()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    ScratchFolder("build", tmp_path).close()
    assert folder.path.is_dir()
    folder.close()
    folder.close()
    assert list(tmp_path.iterdir()) == []


def test_many_at_a_time_never_lose_one(tmp_path: Path) -> None:
    """A folder that was just made is taken for one of a killed process."""
    children = []
    for seed in range(4):
        if (child := os.fork()) == 0:
            rng, status = random.Random(seed), 1
            try:
                for _ in range(150):
                    with ScratchFolder("build", tmp_path) as folder:
                        time.sleep(0.0005 * rng.random())
                        (folder / "file").write_text("")
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 4
    assert list(tmp_path.iterdir()) == []
