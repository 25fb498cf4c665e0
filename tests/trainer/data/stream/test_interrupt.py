"""Ctrl-C while the loader waits for a server that does not answer."""

import signal
import threading
import time
from pathlib import Path

import pytest

import shards
from shards.testing.network import Weather
from shards.testing.stores import make_store
from tests.support.network.shelves import Shelf
from tests.trainer.data.loading import make_loader


def test_ctrl_c_does_not_wait_for_the_server(s3: Shelf, tmp_path: Path) -> None:
    """The reader behind the loader would wait until the server has failed several times."""
    folder = make_store(tmp_path / "store", {"train": 64})
    with shards.open(s3.store(folder, "interrupted")) as store, make_loader(store) as loader:
        s3.proxy.seen.clear()
        s3.proxy.weather = Weather(latency=12)
        came: list[float] = []
        main = threading.get_ident()

        def interrupt() -> None:
            while not s3.proxy.num_requests:
                time.sleep(0.01)
            time.sleep(0.5)
            came.append(time.monotonic())
            signal.pthread_kill(main, signal.SIGINT)

        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            next(iter(loader))
        assert time.monotonic() - came[0] < 8
        s3.proxy.weather = Weather()
        assert len(next(iter(loader))["image"]) == 40
