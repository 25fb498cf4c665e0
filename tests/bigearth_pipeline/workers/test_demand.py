"""Workers that come and go while a build waits or runs."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from distributed import Client, LocalCluster, get_worker

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.workers import open_cluster
from bigearth_pipeline.workers.demand import Demand
from tests.bigearth_pipeline.workers.support import PATIENT, WATCHFUL, Clock, report
from tests.support.data.building import Recorder
from tests.support.running.clusters import worker

pytestmark = pytest.mark.cluster
_SECONDS = 60


@contextmanager
def _threads(number: int, of: int = 1) -> Iterator[LocalCluster]:
    """A cluster whose workers are threads of this process, so that they start at once; `of` tasks at a time each."""
    with LocalCluster(
        n_workers=number, threads_per_worker=of, processes=False, protocol="tcp", host="127.0.0.1",
        dashboard_address=None, silence_logs=60,
    ) as cluster:  # fmt: skip
        yield cluster


class Calls(Recorder):
    """Progress that does something when it receives its first line."""

    def __init__(self, action: Callable[[], object]) -> None:
        super().__init__()
        self._action = action

    def say(self, text: str) -> None:
        """Keep a line; act at the first."""
        super().say(text)
        if len(self.lines) == 1:
            self._action()


def meet(item: int, folder: Path, number: int, progress: Callable[[int], None]) -> str:
    """Wait until a number of workers are at work at the same time, or were; return the address of this one.

    Raises:
        TimeoutError: they are not in a minute.
    """
    address: str = get_worker().address
    (folder / address.rpartition(":")[2]).touch()
    deadline = time.monotonic() + _SECONDS
    while len(list(folder.iterdir())) < number:
        if time.monotonic() > deadline:
            raise TimeoutError("too few workers are at work")
        time.sleep(0.01)
    return address


def test_work_waits_for_workers_that_come(tmp_path: Path) -> None:
    """A build that began with one worker gives work to two, however many come."""
    with _threads(1) as cluster, open_cluster(1, cluster.scheduler_address, limits=PATIENT) as workers:
        results = workers.map(meet, range(40), tmp_path, 6)
        cluster.scale(6)
        addresses = dict(results)
    assert sorted(addresses) == list(range(40))
    assert len(set(addresses.values())) == 6


def test_work_that_waits_follows_the_threads() -> None:
    """A cluster of many threads gets work for 64 of them; or a small one, or one without workers, for fewer."""
    with _threads(0) as cluster, Client(cluster.scheduler_address, set_as_default=False) as client:
        assert Demand(client)() == 64
        cluster.scale(1)
        client.wait_for_workers(1, timeout=_SECONDS)
        assert Demand(client)() == 64
    with _threads(1, of=50) as cluster, Client(cluster.scheduler_address, set_as_default=False) as client:
        client.wait_for_workers(1, timeout=_SECONDS)
        assert Demand(client)() == 100


def test_a_cluster_that_adapts_grows_and_shrinks(tmp_path: Path) -> None:
    """A cluster without workers starts none, since no work waits; it stays small; or results are lost as it shrinks."""
    with _threads(0) as cluster:
        cluster.adapt(minimum=0, maximum=3, interval="50ms", wait_count=2)
        with open_cluster(1, cluster.scheduler_address, limits=PATIENT) as workers:
            first = dict(workers.map(meet, range(12), tmp_path, 3))
            _wait_for(cluster, 0)
            second = dict(workers.map(report, range(12), 2))
        assert sorted(first) == list(range(12))
        # By their marks: on a busy machine one that goes just before it answers has its work done again by another.
        assert len(list(tmp_path.iterdir())) >= 3
        assert second == {item: 2 * item for item in range(12)}
        _wait_for(cluster, 0)


def test_workers_that_go_leave_their_work_to_others(tmp_path: Path) -> None:
    """A cluster that shrinks in the middle of a build takes shards with it, or passes for one that fails."""
    with _threads(3) as cluster, open_cluster(3, cluster.scheduler_address, limits=PATIENT) as workers:
        results = workers.map(meet, range(30), tmp_path, 3)
        found = dict([next(results)])
        cluster.scale(1)
        found |= dict(results)
        assert sorted(found) == list(range(30))
        _wait_for(cluster, 1)


def test_a_worker_that_goes_while_it_is_checked() -> None:
    """A cluster that shrinks as a build begins passes for one with a worker that cannot be reached."""
    with _threads(1) as cluster, worker(cluster.scheduler_address, wait_for=2) as process:
        process.send_signal(signal.SIGSTOP)
        end = threading.Timer(1, process.kill)
        end.start()
        with open_cluster(1, cluster.scheduler_address, limits=PATIENT) as workers:
            assert dict(workers.map(report, [1], 2)) == {1: 2}
        end.join()


def _wait_for(cluster: LocalCluster, number: int) -> None:
    deadline = time.monotonic() + _SECONDS
    while len(cluster.scheduler_info["workers"]) != number:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_build_waits_for_the_first_worker() -> None:
    """A build that is started before its workers ends, or waits without a word."""
    with _threads(0) as cluster:
        progress = Calls(lambda: cluster.scale(1))
        with open_cluster(1, cluster.scheduler_address, progress, limits=PATIENT) as workers:
            assert dict(workers.map(report, [1], 2)) == {1: 2}
        address = cluster.scheduler_address
    assert progress.lines == [
        f"scheduler {address} has no workers; waiting for one (start some with: dask worker {address})"
    ]


def test_no_worker_comes(clock: Clock) -> None:
    """A build without workers waits for ever."""
    with _threads(0) as cluster:
        clock.step = 20.0
        with (
            pytest.raises(PipelineError, match=r"has had no workers for \d+ s; start some with: dask worker tcp://"),
            open_cluster(1, cluster.scheduler_address, limits=WATCHFUL),
        ):
            pass


def test_the_scheduler_is_lost_before_a_worker_comes() -> None:
    """A build that waits for workers waits for ever, or ends in a traceback, once there is no scheduler."""
    with _threads(0) as cluster:
        progress = Calls(cluster.close)
        with (
            pytest.raises(PipelineError, match="the connection to the Dask scheduler was lost"),
            open_cluster(1, cluster.scheduler_address, progress, limits=PATIENT),
        ):
            pass
