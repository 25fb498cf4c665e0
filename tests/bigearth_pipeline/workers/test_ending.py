"""Tasks of a build that has failed, and connections that do not close."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bigearth_pipeline.workers import Limits, ending, open_cluster
from bigearth_pipeline.workers.remote import connect


def _slow(number: int, folder: str, progress: Callable[[int], None]) -> None:
    path = Path(folder, str(number))
    path.touch()
    try:
        for _ in range(100):
            if number == 1 and Path(folder, "2").exists():
                raise ArithmeticError
            # Longer than cancelling takes on an idle machine.
            time.sleep(0.05)
            progress(1)
    finally:
        path.unlink()


def test_no_task_is_at_work_after_an_error(scheduler: str, tmp_path: Path) -> None:
    """A build that has failed still writes into its folder, beside the next one."""
    for attempt in range(4):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        with open_cluster(2, scheduler) as cluster, pytest.raises(ArithmeticError):
            for _ in cluster.map(_slow, range(1, 9), str(folder)):
                pass
        assert list(folder.iterdir()) == []
        time.sleep(0.1)
        assert list(folder.iterdir()) == []


def test_a_connection_that_does_not_close_is_given_up(scheduler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that was interrupted ends a minute later, for Dask waits so long for a loop that does not move."""
    monkeypatch.setattr(ending, "_CLOSE_SECONDS", 0.2)
    free = threading.Event()
    try:
        with connect(scheduler, Limits()) as client:
            client.loop.add_callback(free.wait)
        # It would wait once more when it is deleted.
        assert client.status == "closed"
    finally:
        free.set()
