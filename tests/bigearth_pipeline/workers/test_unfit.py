"""Workers that run other code or see other files."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.workers import Shared, open_cluster
from bigearth_pipeline.workers.checks import terms_of
from tests.bigearth_pipeline.workers.support import PATIENT, dawdle, report
from tests.support.paths import ROOT
from tests.support.running.clusters import bare_scheduler, pretend_version, worker


def _without_package(folder: Path) -> str:
    (folder / "bigearth_pipeline.py").touch()
    return "cannot run this version of bep"


def _of_other_code(folder: Path) -> str:
    for package in ("bigearth_pipeline", "shards"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    with open(folder / "shards" / "codec" / "registry.py", "a") as file:
        file.write("# Another release.\n")
    return "code of bep is"


def _of_other_numpy(folder: Path) -> str:
    pretend_version(folder, "numpy", "1.26.4")
    return "numpy is 1.26.4 there"


@pytest.mark.parametrize("environment", [_without_package, _of_other_code, _of_other_numpy])
def test_workers_of_another_environment_are_refused(environment: Callable[[Path], str], tmp_path: Path) -> None:
    """Workers elsewhere write other bytes, or leave a build waiting for ever."""
    expected = environment(tmp_path)
    with (
        bare_scheduler() as scheduler,
        worker(scheduler, first_on_path=tmp_path),
        pytest.raises(PipelineError, match=rf"^worker tcp://127.0.0.1:\d+ .*{expected}"),
        open_cluster(1, scheduler, limits=PATIENT),
    ):
        pass


def test_a_worker_that_comes_later_is_checked(tmp_path: Path) -> None:
    """Workers that join a running build are taken as they are."""
    expected = _of_other_numpy(tmp_path)
    with bare_scheduler() as scheduler, worker(scheduler), open_cluster(1, scheduler, limits=PATIENT) as cluster:
        results = cluster.map(dawdle, range(1000), 0.1)
        next(results)
        with (
            worker(scheduler, first_on_path=tmp_path, wait_for=2),
            pytest.raises(PipelineError, match=expected),
        ):
            list(results)


def test_a_worker_that_does_not_see_the_paths(tmp_path: Path) -> None:
    """A worker of another host writes shards to its own disk, or calls every patch bad."""
    hidden = tmp_path / "store"
    hidden.mkdir()
    mount = ("unshare", "-m", "sh", "-c", f'mount -t tmpfs none {hidden} && exec "$@"', "sh")
    if subprocess.run([*mount, "true"], capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    with bare_scheduler() as scheduler, worker(scheduler, prefix=mount):
        with (
            pytest.raises(PipelineError, match=rf"^worker tcp://.* does not see what is in {hidden}"),
            open_cluster(1, scheduler, shared=Shared(hidden), limits=PATIENT),
        ):
            pass
        assert not list(hidden.iterdir())
        (hidden / "patch").mkdir()
        with (
            pytest.raises(PipelineError, match=f"does not see the source folder {hidden / 'patch'}"),
            open_cluster(1, scheduler, shared=Shared(tmp_path, (str(hidden / "patch"),)), limits=PATIENT),
        ):
            pass
        # It sees others.
        with open_cluster(1, scheduler, shared=Shared(tmp_path, (str(tmp_path),)), limits=PATIENT) as cluster:
            assert dict(cluster.map(report, [1], 2)) == {1: 2}
        assert not list(tmp_path.glob(".*.part"))


def fill(item: int, file: Path, progress: Callable[[int], None]) -> None:
    with open(file, "wb", buffering=0) as out:
        while out.write(bytes(4096)):
            pass


def test_a_full_disk_is_not_the_fault_of_a_worker(tmp_path: Path) -> None:
    """Workers are called unfit when the disk is full in the middle of a build, or a temporary file stays."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        with (
            bare_scheduler() as scheduler,
            worker(scheduler),
            open_cluster(1, scheduler, shared=Shared(disk), limits=PATIENT) as cluster,
        ):
            with pytest.raises(OSError, match="No space left on device"):
                list(cluster.map(fill, [0], disk / "full"))
            with pytest.raises(OSError, match="No space left on device"), terms_of(Shared(disk)):
                pass
            assert len(list(disk.glob("*.part"))) == 1, "that of the driver"
        assert [path.name for path in disk.iterdir()] == ["full"]
    finally:
        subprocess.run(["umount", disk], check=True)
