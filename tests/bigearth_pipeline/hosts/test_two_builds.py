"""Two builds at once on one scheduler."""

import signal
from pathlib import Path

import pytest

from tests.bigearth_pipeline.hosts.cluster import Cluster
from tests.support.data.building import contents
from tests.support.running.commands import while_running
from tests.support.running.hosts import hosts

pytestmark = pytest.mark.long


def test_an_interrupt_ends_one_build_alone(tree: Path, expected: dict[str, bytes], shelf: Path) -> None:
    """Ctrl-C takes the tasks of another build away, or stops its workers, or leaves files of its own."""
    with hosts("alpha", "beta", shared=[tree, shelf]) as (alpha, beta):
        cluster = Cluster(alpha)
        first, second = (cluster.build(alpha, tree, shelf / name) for name in ("first", "second"))
        while_running(first, lambda: len(list(shelf.glob("*/.build"))) < 2)
        cluster.worker(beta)
        while_running(first, lambda: not list(shelf.glob("first/*.tar")))
        first.send_signal(signal.SIGINT)
        (_, said), (_, errors) = (build.communicate(timeout=120) for build in (first, second))
        assert first.returncode == 130, said
        assert not list(shelf.rglob("*.part"))
        assert second.returncode == 0, errors
        again = cluster.build(alpha, tree, shelf / "first")
        _, errors = again.communicate(timeout=120)
        assert again.returncode == 0, errors
    assert contents(shelf / "first") == contents(shelf / "second") == expected
