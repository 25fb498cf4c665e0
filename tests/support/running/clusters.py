"""Dask workers in processes of their own, as they are on other hosts."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distributed import Client, LocalCluster

from tests.support.paths import ROOT


def pretend_version(folder: Path, library: str, version: str) -> None:
    """Have Python, where a folder is the first that it looks in, find another version of a library than it imports."""
    about = folder / f"{library}-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {library}\nVersion: {version}\n")


@contextmanager
def bare_scheduler() -> Iterator[str]:
    """A scheduler without workers."""
    with LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0", silence_logs=60) as cluster:
        yield cluster.scheduler_address


@contextmanager
def worker(
    scheduler: str, *, first_on_path: Path | None = None, prefix: tuple[str, ...] = (), wait_for: int = 1
) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker without a nanny, once the scheduler knows of `wait_for` workers.

    Args:
        scheduler: its address.
        first_on_path: folder where Python looks for modules before it finds ours.
        prefix: what runs the worker.
        wait_for: number of workers, this one included.
    """
    path = os.pathsep.join(str(folder) for folder in (first_on_path, ROOT) if folder)
    options = ["--no-nanny", "--nthreads", "1", "--host", "127.0.0.1", "--no-dashboard", "--memory-limit", "0"]
    process = subprocess.Popen(
        [*prefix, sys.executable, "-m", "distributed.cli.dask_worker", scheduler, *options],
        cwd="/", env=os.environ | {"PYTHONPATH": path}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        with Client(scheduler, set_as_default=False) as client:
            client.wait_for_workers(wait_for, timeout=120)
        yield process
    finally:
        process.kill()
        process.wait(30)
