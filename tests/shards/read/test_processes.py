"""Stores in other processes: forked ones, which inherit them, and new ones, which are sent a pickle."""

import pickle
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import shards
from shards.runtime.forks import renew_in_children
from shards.runtime.threads import Threads
from tests.shards.conftest import read_rows, replace_index
from tests.support.data import faults
from tests.support.running.descriptors import opened_files, opened_since
from tests.support.running.processes import run_in_child


class Patches(Dataset):
    """Records by number, a batch at a time."""

    def __init__(self, store: shards.Store) -> None:
        self.store = store

    def __len__(self) -> int:
        return len(self.store)

    def __getitems__(self, rows: list[int]) -> torch.Tensor:
        self.store.will_read(rows)
        return torch.from_numpy(read_rows(self.store, rows).view(np.int16))


@pytest.mark.long
@pytest.mark.parametrize(
    ("method", "kind"),
    [("fork", "tar_store"), ("fork", "packed_store"), ("forkserver", "tar_store"), ("spawn", "zarr_store")],
)
def test_a_data_loader_with_workers(method: str, kind: str, request: pytest.FixtureRequest) -> None:
    """The workers of a DataLoader wait for ever for threads of their parent, or a store cannot be sent to them."""
    with shards.open(request.getfixturevalue(kind), num_threads=2) as store:
        expected = read_rows(store, range(300))  # Its threads have run.
        store.will_need([0])
        loader = DataLoader(
            Patches(store), batch_size=10, num_workers=2, multiprocessing_context=method, timeout=120,
            collate_fn=_unchanged, sampler=range(40),
        )  # fmt: skip
        for _ in range(2 if method == "fork" else 1):
            found = np.concatenate([batch.numpy() for batch in loader])
            np.testing.assert_array_equal(found.view(np.uint16), expected[:40])
        np.testing.assert_array_equal(read_rows(store, range(300)), expected)


def _unchanged(batch: torch.Tensor) -> torch.Tensor:
    return batch


@pytest.mark.long
def test_a_child_of_a_busy_store(any_store: Path) -> None:
    """A child that is forked while threads read waits for ever for a lock that one of them held."""
    with shards.open(any_store, num_threads=3) as store:
        store.keep_in_memory(range(100))
        expected = read_rows(store, range(300))
        stop = threading.Event()

        def read() -> None:
            out = np.empty_like(expected[:60])
            while not stop.is_set():
                store.read_into(np.arange(60), out)
                store.will_need(range(200, 300, 10))

        threads = [threading.Thread(target=read) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(3):
                assert run_in_child(partial(use, store, expected)) == 0
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        np.testing.assert_array_equal(read_rows(store, range(300)), expected)


def use(store: shards.Store, expected: np.ndarray) -> None:
    """Do with a store what a forked child may do."""
    store.will_need([299])
    store.will_read([299])
    np.testing.assert_array_equal(read_rows(store, range(300)), expected)
    store.keep_in_memory(range(100, 120))
    store.fetch(range(120))
    store.close()


def test_locks_that_are_held_during_a_fork(any_store: Path) -> None:
    """A fork at the wrong moment, which is seldom met, stops the child for good."""
    with shards.open(any_store, num_threads=2) as store:
        expected = read_rows(store, range(300))
        locks = [store._threads._lock, store._files._lock, store._files._adviser._lock, store._cache._lock]
        held, leave = threading.Event(), threading.Event()

        def hold() -> None:
            for lock in locks:
                lock.acquire()
            held.set()
            leave.wait()
            for lock in locks:
                lock.release()

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait()
        try:
            assert run_in_child(partial(use, store, expected)) == 0
        finally:
            leave.set()
            thread.join()


def test_children_of_children(any_store: Path) -> None:
    """A process forked by a worker has the threads of that worker only in name."""
    with shards.open(any_store, num_threads=2) as store:
        expected = read_rows(store, range(300))

        def child() -> None:
            np.testing.assert_array_equal(read_rows(store, range(300)), expected)
            assert run_in_child(partial(use, store, expected)) == 0

        assert run_in_child(child) == 0


def test_objects_to_renew_are_not_kept_alive() -> None:
    """Each store that was ever open stays in memory, with its index."""
    threads = Threads(2, "test")
    renewed: list[int] = []

    class Thing:
        def renew_after_fork(self) -> None:
            renewed.append(1)

    thing, gone = Thing(), Thing()
    renew_in_children(thing)
    renew_in_children(gone)
    del gone

    def child() -> None:
        assert renewed == [1]
        threads.run(list, range(9))

    assert run_in_child(child) == 0
    assert renewed == []


def test_a_pickle_is_path_and_options(any_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that was sent is another one, is found from one folder only, or takes its index along."""
    folder = faults.copy(any_store, tmp_path / "store")
    monkeypatch.chdir(tmp_path)
    with shards.open("store", num_threads=3, mapped=False) as store:
        expected = read_rows(store, range(20))
        store.keep_in_memory(range(20))
        content = pickle.dumps(store)
    assert len(content) < 1000
    monkeypatch.chdir("/")
    with pickle.loads(content) as other:
        assert other.folder == folder
        assert other.num_threads == 3
        np.testing.assert_array_equal(read_rows(other, range(20)), expected)
        assert pickle.dumps(other) == content
        assert "bep-records" not in str(opened_files())
        flags = other.index.column("seasonal_snow")
    replace_index(folder, uly=_other_places(folder))
    before = opened_files()
    with pytest.raises(shards.ShardError, match=f"{folder} holds another store than when it was pickled"):
        pickle.loads(content)
    assert opened_since(before) == {}
    assert len(flags) == 300


def _other_places(folder: Path) -> object:
    with shards.open(folder) as store:
        return pa.array(store.index.column("uly") + 60)


_READER = """
import sys, numpy as np, shards
store = shards.open(sys.argv[1], num_threads=2, mapped=False)
out = np.empty((300, shards.RECORD_VALUES), np.uint16)
store.read_into(range(300), out)
print("ready", flush=True)
try:
    while True:
        store.read_into(range(300), out)
except shards.CorruptShard as err:
    print(err, flush=True)
    sys.exit(3)
"""


def test_a_file_of_a_tmpfs_cut_off_while_it_is_read(any_store: Path, memory: Path) -> None:
    """A process that was told to map nothing ends without a word when a file is cut off."""
    folder = faults.copy(any_store, memory / "store")
    with shards.open(folder) as store:
        path = folder / store.manifest.shards[0].files[0].path
    with subprocess.Popen([sys.executable, "-c", _READER, folder], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        faults.truncate(path, 700)
        message = process.stdout.readline()
        assert process.wait(60) == 3
    assert f"{path}: the record of " in message
    assert "ends after" in message
