"""A Dask scheduler on one host, workers and builds on any."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from distributed import Client

from tests.bigearth_pipeline.hosts.conftest import PER_SHARD
from tests.support.paths import ROOT
from tests.support.running import commands
from tests.support.running.hosts import Host
from tests.support.running.namespaces import network_of

PORT: Final = 8786
_SECONDS: Final = 120
_QUIET: Final = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


class Cluster:
    """A running scheduler, and what uses it.

    Attributes:
        address: of the scheduler.
        scheduler: its process.
    """

    def __init__(self, host: Host, env: Mapping[str, str] | None = None) -> None:
        """Start the scheduler, with variables of its own, and wait until it listens."""
        self._host = host
        self.address = f"tcp://{host.address}:{PORT}"
        options = ("--host", host.address, "--port", PORT, "--no-dashboard", "--no-jupyter")
        module = "distributed.cli.dask_scheduler"
        self.scheduler: commands.Command | subprocess.Popen[str]
        if env:  # Dask reads its variables while it is imported.
            self.scheduler = host.start(sys.executable, "-m", module, *options, env=env, **_QUIET)
        else:
            self.scheduler = host.fork(*options, module=module, **_QUIET)
        deadline = time.monotonic() + _SECONDS
        while not self._listens():
            assert time.monotonic() < deadline, "the scheduler does not answer"
            assert self.scheduler.poll() is None, "the scheduler has ended"
            time.sleep(0.05)

    def worker(
        self, host: Host, *more: object, first_on_path: Path | None = None
    ) -> "commands.Command | subprocess.Popen[str]":
        """Start a worker of one thread, without waiting for it.

        Args:
            host: where it runs.
            more: arguments of `dask worker`.
            first_on_path: folder where Python looks for modules before it finds ours.
        """
        flags = ("--no-nanny", "--nthreads", "1", "--host", host.address, "--no-dashboard", "--memory-limit", "0")
        arguments, module = (self.address, *flags, *more), "distributed.cli.dask_worker"
        if first_on_path is None:
            return host.fork(*arguments, module=module, **_QUIET)
        path = {"PYTHONPATH": f"{first_on_path}{os.pathsep}{ROOT}"}
        return host.start(sys.executable, "-m", module, *arguments, env=path, **_QUIET)

    def wait_for_workers(self, number: int) -> None:
        """Wait until the scheduler knows this number of workers."""
        with network_of(self._host.process), Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(number, timeout=_SECONDS)

    def build(self, host: Host, tree: Path, out: Path, *more: object) -> commands.Command:
        """Start a build."""
        options = ("--out", out, "--scheduler", self.address, "--patches-per-shard", PER_SHARD)
        return host.fork("build-shards", tree, *options, *more)

    def _listens(self) -> bool:
        with network_of(self._host.process):
            try:
                socket.create_connection((self._host.address, PORT), timeout=5).close()
            except OSError:
                return False
        return True


def stop_at_work(build: commands.Command, worker: "commands.Command | subprocess.Popen[str]", shelf: Path) -> None:
    """Stop a worker in the middle of a shard of a store that lies in a folder."""
    while build.poll() is None:
        if _is_at_work(worker.pid, shelf):
            worker.send_signal(signal.SIGSTOP)
            # Until all threads have stopped it may still finish the shard.
            while worker.poll() is None and not _has_stopped(worker.pid):
                time.sleep(0.001)
            if _is_at_work(worker.pid, shelf):
                return
            worker.send_signal(signal.SIGCONT)
        time.sleep(0.001)
    raise AssertionError(f"the worker has written nothing: {build.communicate()[1]}")


def _is_at_work(process: int, shelf: Path) -> bool:
    # Not the file with which it is checked that a worker sees the store.
    return any(shelf.glob(f"*/.*.tar.*.{process}.*.part"))


def _has_stopped(process: int) -> bool:
    states = [file.read_text().rpartition(") ")[2][0] for file in Path(f"/proc/{process}/task").glob("*/stat")]
    return set(states) == {"T"}
