"""Workers of another host that do not see source or store, or have other versions."""

import re
import signal
from pathlib import Path

import pytest

from tests.bigearth_pipeline.hosts.cluster import Cluster, stop_at_work
from tests.support.running.clusters import pretend_version
from tests.support.running.hosts import hosts

pytestmark = pytest.mark.long
UNFIT = r"Error: worker tcp://10\.87\.0\.2:\d+ on host beta "


@pytest.mark.parametrize("lacking", ["source", "store", "versions"])
def test_a_host_is_named_before_any_work(lacking: str, tree: Path, shelf: Path, tmp_path: Path) -> None:
    """The address of a worker does not say where it runs, or it calls all patches bad, or writes to its own disk."""
    libraries = tmp_path / "libraries"
    libraries.mkdir()
    absent = r"\(No such file or directory\); source and store must be at the same paths"
    expected = {
        "source": f"does not see the source folder {tree}/BigEarthNet-S2/.* {absent}",
        "store": f"does not see what is in {shelf}/store/.build {absent}",
        "versions": r"would write other bytes: dask is 2020\.1\.0 there, \S+ here, numpy is 1\.26\.4 there, \S+ here;",
    }[lacking]
    hidden = {"source": [tree], "store": [shelf], "versions": []}[lacking]
    with hosts("alpha", "beta", shared=[tree, shelf, libraries], hidden={"beta": hidden}) as (alpha, beta):
        cluster = Cluster(alpha)
        cluster.worker(alpha)
        if lacking == "versions":
            pretend_version(libraries, "dask", "2020.1.0")
            pretend_version(libraries, "numpy", "1.26.4")
            cluster.worker(beta, first_on_path=libraries)
        else:
            cluster.worker(beta)
        cluster.wait_for_workers(2)
        build = cluster.build(alpha, tree, shelf / "store")
        _, errors = build.communicate(timeout=120)
    assert build.returncode == 1
    assert re.match(UNFIT + expected, errors.splitlines()[-1]), errors
    assert not list(shelf.rglob("*.tar"))
    assert not list(shelf.rglob("*.part"))


def test_a_host_that_joins_is_named(tree: Path, shelf: Path) -> None:
    """A worker that comes in the middle of a build calls all its patches bad."""
    with hosts("alpha", "beta", shared=[tree, shelf], hidden={"beta": [tree]}) as (alpha, beta):
        cluster = Cluster(alpha)
        first = cluster.worker(alpha)
        build = cluster.build(alpha, tree, shelf / "store")
        stop_at_work(build, first, shelf)
        # The other one does what is left.
        cluster.worker(beta)
        cluster.wait_for_workers(2)
        first.send_signal(signal.SIGCONT)
        _, errors = build.communicate(timeout=120)
    assert build.returncode == 1
    assert re.match(f"{UNFIT}does not see the source folder", errors.splitlines()[-1]), errors
    assert not list(shelf.rglob("*.part"))
