"""A build on a cluster that starts and ends workers on two hosts while it runs."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest
from distributed import Client, SpecCluster, Status
from distributed.deploy.spec import ProcessInterface

from tests.bigearth_pipeline.hosts.cluster import Cluster, stop_at_work
from tests.support.data.building import contents
from tests.support.running import commands
from tests.support.running.hosts import Host, hosts
from tests.support.running.namespaces import network_of

pytestmark = pytest.mark.long
_SECONDS = 120


class Running(ProcessInterface):
    """The scheduler that runs already."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self.address = address


class Started(ProcessInterface):
    """A worker that Dask starts and ends: one on the first host, the next on the second, and so on."""

    all: ClassVar[list["Started"]] = []

    def __init__(self, scheduler: str, name: int, cluster: Cluster, places: list[Host]) -> None:
        super().__init__(scheduler, name)
        self._name, self._cluster, self._host = name, cluster, places[name % len(places)]
        self.process: commands.Command | subprocess.Popen[str]

    async def start(self) -> None:
        """Start it."""
        self.process = self._cluster.worker(self._host, "--name", self._name)
        Started.all.append(self)
        await super().start()

    def go_on(self) -> None:
        """Let it go on after it was stopped; another thread may end it meanwhile."""
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGCONT)

    async def close(self) -> None:
        """End it, after the scheduler has taken leave of it; Dask may ask for it again meanwhile."""
        async with self.lock:
            # By itself it would wait for the other one, if that is stopped.
            self.process.kill()
            await asyncio.to_thread(self.process.wait, _SECONDS)
            await super().close()


def _wait(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + _SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_cluster_that_adapts_to_a_build(
    tree: Path, expected: dict[str, bytes], shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers that join a build get no work, a shard goes with one that leaves, or the bytes depend on either."""
    monkeypatch.setattr(Started, "all", [])
    with hosts("alpha", "beta", shared=[tree, shelf]) as (alpha, beta):
        running = Cluster(alpha)
        worker = {"cls": Started, "options": {"cluster": running, "places": [alpha, beta]}}
        scheduler = {"cls": Running, "options": {"address": running.address}}
        with (
            network_of(alpha.process),
            SpecCluster(scheduler=scheduler, worker=worker) as cluster,
            Client(running.address, set_as_default=False) as client,
        ):

            def adapt(minimum: int, maximum: int) -> None:
                # Shards take so little time here that a second worker would never pay.
                cluster.adapt(minimum=minimum, maximum=maximum, interval="50ms", wait_count=1, target_duration="1ms")

            def states() -> dict[int, str]:
                known = client.sync(client.scheduler.identity, n_workers=-1)["workers"].values()
                return {each["name"]: each["status"] for each in known}

            adapt(1, 2)
            build = running.build(beta, tree, shelf / "store")
            for number in range(2):
                _wait(lambda number=number: len(Started.all) > number)
                stop_at_work(build, Started.all[number].process, shelf)
            adapt(1, 1)
            _wait(lambda: set(states().values()) != {"running"} or len(states()) == 1)
            (leaving,) = {0, 1} - {name for name, status in states().items() if status == "running"}
            Started.all[leaving].go_on()
            _wait(lambda: len(states()) == 1 and Started.all[leaving].status == Status.closed)
            assert build.poll() is None
            adapt(1, 2)
            _wait(lambda: len(Started.all) == 3)
            assert build.poll() is None
            Started.all[1 - leaving].go_on()
            _, errors = build.communicate(timeout=_SECONDS)
            assert build.returncode == 0, errors
            assert "Traceback" not in errors
            adapt(0, 2)
            _wait(lambda: not states())
    assert contents(shelf / "store") == expected
