"""Builds on two hosts that share only source and store, and lose a worker, a host or the scheduler."""

import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.bigearth_pipeline.hosts.cluster import Cluster, stop_at_work
from tests.support.data.building import contents
from tests.support.running.hosts import hosts

pytestmark = pytest.mark.long


def test_a_killed_worker(tree: Path, expected: dict[str, bytes], shelf: Path) -> None:
    """A worker takes its shard with it or leaves half of it, or the bytes of a store depend on the host."""
    with hosts("alpha", "beta", shared=[tree, shelf]) as (alpha, beta):
        cluster = Cluster(alpha)
        cluster.worker(alpha)
        lost = cluster.worker(beta)
        cluster.wait_for_workers(2)
        build = cluster.build(alpha, tree, shelf / "store")
        stop_at_work(build, lost, shelf)
        lost.kill()
        _, errors = build.communicate(timeout=120)
    assert build.returncode == 0, errors
    assert "Traceback" not in errors
    assert contents(shelf / "store") == expected


def test_a_host_that_is_cut_off(tree: Path, expected: dict[str, bytes], shelf: Path) -> None:
    """A host whose cable was pulled holds the build, or spoils the store when it is back."""
    with hosts("alpha", "beta", shared=[tree, shelf]) as (alpha, beta):
        # Not half a minute; Dask takes no shorter time than this.
        cluster = Cluster(alpha, {"DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "11s"})
        cluster.worker(alpha)
        lost = cluster.worker(beta)
        cluster.wait_for_workers(2)
        build = cluster.build(alpha, tree, shelf / "store")
        stop_at_work(build, lost, shelf)
        beta.cut_off()
        _, errors = build.communicate(timeout=120)
        assert build.returncode == 0, errors
        assert contents(shelf / "store") == expected
        beta.connect()
        lost.send_signal(signal.SIGCONT)
        # It finishes what it had begun.
        while any(file.path.startswith(str(shelf)) for file in psutil.Process(lost.pid).open_files()):
            time.sleep(0.01)
        assert contents(shelf / "store") == expected


def test_a_lost_scheduler(tree: Path, expected: dict[str, bytes], shelf: Path) -> None:
    """A scheduler that dies on another host ends in a traceback, in waiting, or in a store that does not resume."""
    with hosts("alpha", "beta", shared=[tree, shelf]) as (alpha, beta):
        cluster = Cluster(alpha)
        worker = cluster.worker(alpha)
        build = cluster.build(beta, tree, shelf / "store")
        stop_at_work(build, worker, shelf)
        cluster.scheduler.kill()
        _, errors = build.communicate(timeout=120)
        assert build.returncode == 1
        lines = errors.splitlines()
        assert lines[-1] == "Error: the connection to the Dask scheduler was lost; run the same command again"
        assert "Traceback" not in errors
        worker.kill()
        cluster = Cluster(alpha)
        cluster.worker(beta)
        build = cluster.build(beta, tree, shelf / "store")
        _, errors = build.communicate(timeout=120)
        assert build.returncode == 0, errors
    assert contents(shelf / "store") == expected
