"""Workers that do nothing."""

import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from distributed import Client

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.workers import open_cluster
from tests.bigearth_pipeline.workers.support import PATIENT, QUICK, WATCHFUL, Clock, dawdle, workers_of_this_process
from tests.support.data.building import Recorder
from tests.support.running.clusters import bare_scheduler, worker


def test_a_stopped_worker_is_named(clock: Clock) -> None:
    """A worker that does not answer is waited for without end, when a build starts and in the middle of it."""
    with bare_scheduler() as scheduler, worker(scheduler) as process:
        progress = Recorder()
        with open_cluster(1, scheduler, progress, limits=WATCHFUL) as cluster:
            results = cluster.map(dawdle, range(9), 0.01)
            next(results)
            process.send_signal(signal.SIGSTOP)
            clock.step = 20.0
            with pytest.raises(PipelineError, match=r"^no patch done for \d+ s; worker tcp://.* last seen \d+ s ago"):
                list(results)
        assert progress.lines
        assert re.match(r"no patch done for \d+ s; worker tcp://127\.0\.0\.1:", progress.lines[0])
        with (
            pytest.raises(PipelineError, match=r"^worker tcp://127.0.0.1:\d+ does not answer within 2 s"),
            open_cluster(1, scheduler, limits=QUICK),
        ):
            pass


def test_the_only_worker_is_lost(clock: Clock) -> None:
    """A build whose workers are all gone waits for ever."""
    with (
        bare_scheduler() as scheduler,
        worker(scheduler) as process,
        open_cluster(1, scheduler, limits=WATCHFUL) as cluster,
    ):
        results = cluster.map(dawdle, range(9), 0.01)
        next(results)
        process.kill()
        with Client(scheduler, set_as_default=False) as client:
            while client.scheduler_info(n_workers=-1)["workers"]:
                time.sleep(0.01)
        clock.step = 20.0
        with pytest.raises(PipelineError, match="no worker is connected to the scheduler"):
            list(results)


def after(item: int, mark: Path, progress: Callable[[int], None]) -> int:
    """Do the first item at once, and each other a moment after a file is there."""
    while item and not mark.exists():
        time.sleep(0.01)
    time.sleep(1.5 if item else 0)  # Longer than the driver waits between two looks at the clock.
    return item


@pytest.mark.long
def test_time_that_the_driver_takes_is_no_stall(scheduler: str, clock: Clock, tmp_path: Path) -> None:
    """A driver that is slow to take results ends its own build."""
    with open_cluster(1, scheduler, limits=PATIENT) as cluster:
        results = cluster.map(after, range(2), tmp_path / "mark")
        next(results)
        clock.ahead += 1000
        (tmp_path / "mark").touch()
        assert list(results) == [(1, 1)]


@pytest.mark.long
def test_a_stopped_local_worker_ends_the_command(clock: Clock) -> None:
    """Processes that are stopped hold a command, and stay behind."""
    before = workers_of_this_process()
    with open_cluster(1, limits=WATCHFUL) as cluster:
        results = cluster.map(dawdle, range(9), 0.01)
        next(results)
        (process,) = workers_of_this_process() - before
        process.suspend()
        clock.step = 20.0
        with pytest.raises(PipelineError, match=r"^no patch done for \d+ s; worker tcp://.* last seen"):
            list(results)
    assert not process.is_running()
