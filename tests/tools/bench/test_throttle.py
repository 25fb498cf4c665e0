"""Disks of few reads a second."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from bigearth_pipeline.errors import PipelineError
from tools.bench.build.throttle import throttled


@pytest.mark.long
def test_processes_of_the_group_read_as_often_as_they_may(tmp_path: Path) -> None:
    """Children of the command read at the rate of the disk, or the group stays."""
    files, reads = 300, 200
    for i in range(files):
        (tmp_path / str(i)).write_bytes(os.urandom(20_000))
    os.sync()
    try:
        with throttled(tmp_path, reads) as before:
            for i in range(files):
                descriptor = os.open(tmp_path / str(i), os.O_RDONLY)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(descriptor)
            begin = time.monotonic()
            subprocess.run([*before, "sh", "-c", f"cat {tmp_path}/* | wc -c"], check=True, stdout=subprocess.DEVNULL)
            seconds = time.monotonic() - begin
            group = Path(before[2].split()[3]).parent
            assert group.is_dir()
    except PipelineError as err:
        pytest.skip(str(err))
    assert not group.exists()
    # A file may take several reads; what is read meanwhile for other processes is not theirs.
    assert files / seconds <= 1.2 * reads
    assert group.name.startswith("bep-")


def test_a_folder_in_memory_has_no_disk(tmp_path: Path) -> None:
    """A limit that nothing obeys passes for one."""
    memory = Path("/dev/shm")
    if memory.stat().st_dev == tmp_path.stat().st_dev or not memory.is_dir():
        pytest.skip("there is no file system in memory at /dev/shm")
    with pytest.raises(PipelineError, match="no block device"), throttled(memory, 10):
        pass


def test_limits_of_version_2_are_its_own(tmp_path: Path) -> None:
    """The files of one version of control groups are written into a group of the other."""
    groups = tmp_path / "cgroup"
    groups.mkdir()
    try:
        with throttled(tmp_path, 7, groups):
            (group,) = groups.iterdir()
            content = {file.name: file.read_text() for file in group.iterdir()}
            (group / "io.max").unlink()
    except PipelineError as err:
        pytest.skip(str(err))
    assert list(content) == ["io.max"]
    assert content["io.max"].endswith(" riops=7")
