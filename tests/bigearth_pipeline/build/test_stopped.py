"""Builds that are killed, interrupted, or lose a worker or the scheduler."""

import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from distributed import LocalCluster

import shards
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.workers import remote
from tests.bigearth_pipeline.build.running import descendants, processes_of, start
from tests.support.data.building import FORMATS, build_store, contents
from tests.support.running import commands, semaphores


@pytest.mark.long
@FORMATS
def test_killed_at_random_and_resumed_gives_the_same_bytes(
    scene_tree: Path, scheduler: str, tmp_path: Path, store_format: str
) -> None:
    """A build that was killed resumes to other bytes, or looks finished when it is not."""
    build_store(tmp_path / "whole", scene_tree, scheduler=scheduler, patches_per_shard=16, format=store_format)
    out = tmp_path / "killed"
    rng = random.Random(17)
    kills = 0
    for _ in range(4):
        build = start(scene_tree, out, "--format", store_format, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # Wait for the first shards, or go on from those that are there, and kill a moment later.
        before = len(list(out.glob(".build/*.json")))
        commands.while_running(build, lambda before=before: len(list(out.glob(".build/*.json"))) == before)
        time.sleep(rng.random() * 0.06)
        workers = descendants(build.pid)
        build.send_signal(signal.SIGKILL)
        kills += build.wait() == -signal.SIGKILL
        # A dying worker may sit in an fsync of a busy disk.
        assert psutil.wait_procs(workers, timeout=60)[1] == []
        if not (out / "manifest.json").exists():
            with pytest.raises(shards.UnfinishedStore):
                shards.open(out)
    assert kills
    # What a kill between write and rename leaves behind.
    (out / ".train-00001.tar.host.99999.0123abcd.part").write_bytes(b"half a shard")
    summary = build_store(out, scene_tree, scheduler=scheduler, patches_per_shard=16, format=store_format)
    assert summary.built < 300
    assert contents(out) == contents(tmp_path / "whole")


def test_ctrl_c_stops_everything_and_says_how_to_go_on(scene_tree: Path, tmp_path: Path) -> None:
    """Ctrl-C leaves workers running, or a user without a hint."""
    out = tmp_path / "s"
    # A session of its own is what a terminal's foreground group is: the signal goes to all its processes.
    # A new interpreter: a fork would have the command line of another process, which is looked at below.
    build = start(scene_tree, out, own_session=True, fresh=True)
    commands.while_running(build, lambda: not list(out.glob("*.tar")))
    os.killpg(build.pid, signal.SIGINT)
    printed, errors = build.communicate(timeout=60)
    assert build.returncode == 130, errors
    assert "the same command resumes" in errors
    assert "Traceback" not in printed + errors
    assert processes_of(out) == []
    assert not list(out.rglob("*.part"))
    assert not (out / "manifest.json").exists()


def test_a_lost_worker_is_replaced(scene_tree: Path, scheduler: str, tmp_path: Path) -> None:
    """One worker that dies, for instance because memory runs out, ends the build or leaves other bytes."""
    out = tmp_path / "s"
    build = start(scene_tree, out)
    killed = 0
    while build.poll() is None and not killed:
        time.sleep(0.005)
        if not list(out.glob("*.part")):
            continue
        for process in descendants(build.pid):
            with suppress(psutil.Error):
                if any(file.path.endswith(".part") for file in process.open_files()):
                    process.kill()
                    killed += 1
                    break
    printed, errors = build.communicate(timeout=120)
    assert killed
    assert build.returncode == 0, errors
    assert "Traceback" not in printed + errors
    build_store(tmp_path / "whole", scene_tree, scheduler=scheduler, patches_per_shard=16)
    assert contents(out) == contents(tmp_path / "whole")


def test_tasks_end_with_the_build_on_an_external_scheduler(scene_tree: Path, scheduler: str, tmp_path: Path) -> None:
    """After Ctrl-C the workers of a shared scheduler go on writing a large shard."""
    out = tmp_path / "s"
    build = commands.start(
        "build-shards", scene_tree, "--out", out, "--scheduler", scheduler, stdout=subprocess.DEVNULL
    )
    commands.while_running(build, lambda: not list(out.rglob("*.part")))
    build.send_signal(signal.SIGINT)
    _, errors = build.communicate(timeout=60)
    assert build.returncode == 130, errors
    assert "the same command resumes" in errors
    deadline = time.monotonic() + 120
    while list(out.rglob("*.part")) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not list(out.rglob("*.part"))


def test_a_lost_scheduler_is_one_clear_error(scene_tree: Path, tmp_path: Path) -> None:
    """A scheduler that goes away ends in a traceback or in waiting for ever."""
    out = tmp_path / "s"
    with LocalCluster(
        n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0", silence_logs=50
    ) as cluster:
        build = start(scene_tree, out, "--scheduler", cluster.scheduler_address)
        commands.while_running(build, lambda: not list(out.glob("*.tar")))
    _, errors = build.communicate(timeout=60)
    assert build.returncode == 1
    assert errors.splitlines()[-1] == (
        "Error: the connection to the Dask scheduler was lost; run the same command again"
    )
    assert "Traceback" not in errors


@pytest.mark.long
def test_an_absent_scheduler_is_one_clear_error(
    small_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong scheduler address ends in a traceback after minutes."""
    monkeypatch.setattr(remote, "_CONNECT_SECONDS", 1.0)
    with pytest.raises(PipelineError, match=r"scheduler tcp://127\.0\.0\.1:9 cannot be reached"):
        build_store(tmp_path / "s", small_tree, scheduler="tcp://127.0.0.1:9")


_SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.mark.parametrize("number", _SIGNALS)
@pytest.mark.parametrize("stage", ["start", "work"])
def test_a_signal_ends_a_build_in_order(scene_tree: Path, tmp_path: Path, number: signal.Signals, stage: str) -> None:
    """A signal leaves processes, half files or semaphores, or prints more than a line."""
    out = tmp_path / "s"
    build = start(scene_tree, out, own_session=True)
    family: set[psutil.Process] = set()
    opened: set[int] = set()

    def is_early() -> bool:
        family.update(descendants(build.pid))
        opened.update(semaphores.mapped(family))
        return not (list(out.rglob("*.part")) if stage == "work" else len(family) >= 3)

    commands.while_running(build, is_early)
    os.killpg(build.pid, number)
    _, errors = build.communicate(timeout=60)
    assert build.returncode == _SIGNALS[number], errors
    lines = [line for line in errors.splitlines() if line and not line.startswith(("found ", "building: "))]
    assert lines == [f"interrupted: finished shards are kept; the same command resumes the build in {out}"]
    assert psutil.wait_procs(family, timeout=60)[1] == []
    assert not list(out.rglob("*.part"))
    assert not (out / "manifest.json").exists()
    assert semaphores.named(opened) == []


@pytest.mark.long
def test_a_killed_group_leaves_no_semaphores(scene_tree: Path, tmp_path: Path) -> None:
    """A batch system that kills all processes at once leaves semaphores in /dev/shm until the machine starts again."""
    out = tmp_path / "s"
    build = start(scene_tree, out, own_session=True)
    commands.while_running(build, lambda: not list(out.rglob("*.part")))
    family = descendants(build.pid)
    opened = semaphores.mapped(family)
    os.killpg(build.pid, signal.SIGKILL)
    assert build.wait(60) == -signal.SIGKILL
    assert psutil.wait_procs(family, timeout=60)[1] == []
    assert semaphores.named(opened) == []


def test_a_second_signal_does_not_cut_off_the_end(scene_tree: Path, tmp_path: Path) -> None:
    """Ctrl-C twice leaves half files, or ends in a traceback."""
    out = tmp_path / "s"
    build = start(scene_tree, out)
    commands.while_running(build, lambda: not list(out.rglob("*.part")))
    while build.poll() is None:
        build.send_signal(signal.SIGINT)
        time.sleep(0.05)
    _, errors = build.communicate(timeout=60)
    assert build.returncode == 130, errors
    assert "Traceback" not in errors
    assert not list(out.rglob("*.part"))


def test_verify_ends_in_order(tar_store: Path, scene_tree: Path) -> None:
    """A signal leaves the processes of `bep verify`, or prints more than a line."""
    verify = commands.start("verify", tar_store, "--against", scene_tree, "--workers", 2, stdout=subprocess.DEVNULL)
    family: set[psutil.Process] = set()

    def is_early() -> bool:
        family.update(descendants(verify.pid))
        return len(family) < 4

    commands.while_running(verify, is_early)
    verify.send_signal(signal.SIGTERM)
    _, errors = verify.communicate(timeout=60)
    assert verify.returncode == 143, errors
    assert errors.strip() == "interrupted"
    assert psutil.wait_procs(family, timeout=60)[1] == []
