"""Memory that is promised to records before they are read, once for all who ask."""

import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import shards
from shards.runtime.memory import available_bytes


class Machine:
    """A procfs that says how much memory is left besides what a store has taken."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, size_bytes: int) -> None:
        self.proc, self.size_bytes, self.handle = folder / "proc", size_bytes, ""
        (self.proc / "self").mkdir(parents=True)
        (self.proc / "self/cgroup").write_text("0::/\n")
        monkeypatch.setattr("shards.storage.shared_cache.available_bytes", self.available)

    def available(self) -> int:
        """Return what is left."""
        taken = os.stat(self.handle).st_blocks * 512 if self.handle else 0
        (self.proc / "meminfo").write_text(f"MemAvailable: {(self.size_bytes - taken) // 1024} kB\n")
        return available_bytes(self.proc, self.proc / "none")


def test_rows_that_wait_to_be_read_are_promised_memory(
    any_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Train and validation records that fit one by one, but not together, end the training when both are read."""
    with shards.open(any_store, num_threads=2) as store, shards.open(any_store) as other:
        sizes = {count: store.encoded_bytes(range(count)) for count in (120, 240, 300)}
        machine = Machine(tmp_path, monkeypatch, store.encoded_bytes(range(180)))
        assert store.memory_left() == pytest.approx(machine.size_bytes, abs=1024)
        store.keep_in_memory(range(120))
        machine.handle = store.memory_handle()
        other.attach_memory(machine.handle)
        needed = sizes[240] - sizes[120]
        for one in (store, other):
            assert one.memory_left() == pytest.approx(machine.size_bytes - sizes[120], abs=16_000)
            with pytest.raises(
                shards.NotEnoughMemory,
                match=rf"keeping 120 records takes {needed:,} bytes of memory, but [\d,]+ are available besides "
                rf"{sizes[120]:,} for others",
            ):
                one.keep_in_memory(range(120, 240))
            one.keep_in_memory(range(120))  # They are promised already.
        store.fetch(range(120))
        # Nothing waits any more, and what was taken is taken from what is available.
        assert store.memory_left() == pytest.approx(machine.size_bytes - sizes[120], abs=16_000)
        with pytest.raises(shards.NotEnoughMemory, match=r"but [\d,]+ are available$"):
            other.keep_in_memory(range(120, 240))
        other.keep_in_memory(range(120, 150))
        store.fetch(range(150))
        assert 0 <= machine.available() < machine.size_bytes - store.encoded_bytes(range(150)) + 16_000


def test_threads_that_ask_at_once_are_not_promised_the_same_memory(
    tar_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads that ask at the same time each find the memory free, and take twice of what there is."""
    for _ in range(5):
        with shards.open(tar_store) as store, ThreadPoolExecutor(6) as pool:
            size = store.encoded_bytes(range(70))
            monkeypatch.setattr("shards.storage.shared_cache.available_bytes", lambda size=size: size)
            kept = list(pool.map(_keeps, [(store, range(first, first + 50)) for first in range(0, 300, 50)]))
            assert sum(kept) == 1
            assert np.count_nonzero(store._cache.records.state) == 50


def _keeps(what: tuple[shards.Store, range]) -> bool:
    store, rows = what
    try:
        store.keep_in_memory(rows)
    except shards.NotEnoughMemory:
        return False
    return True


def _promise(folder: Path, handle: str, first: int, size_bytes: int) -> bool:
    import shards.storage.shared_cache

    shards.storage.shared_cache.available_bytes = lambda: size_bytes  # type: ignore[assignment]
    with shards.open(folder) as store:
        store.attach_memory(handle)
        return _keeps((store, range(first, first + 50)))


def test_processes_that_ask_at_once_share_one_promise(tar_store: Path) -> None:
    """Each rank of a machine is promised all of its memory."""
    with shards.open(tar_store) as store, multiprocessing.get_context("fork").Pool(4) as pool:
        size, handle = store.encoded_bytes(range(70)), store.memory_handle()
        for _ in range(3):
            kept = pool.starmap(_promise, [(tar_store, handle, first, size) for first in range(0, 300, 50)], 1)
            assert sum(kept) <= 1
        assert np.count_nonzero(store._cache.records.state) == 50
