"""Every effect of reading and of writing whole files fails once: right bytes or a named error, and nothing is left."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import shards
from shards.metadata.index import write_table
from shards.metadata.manifest import INDEX, MANIFEST
from shards.storage.atomic import atomic_write
from shards.storage.local import LocalStorage
from shards.testing.faults import Faults, FaultyCache, FaultyStorage, Kind, each_fault, faulty_writes
from tests.support.data import faults as damage
from tests.support.running.descriptors import opened_files, opened_since

ROWS = np.array([0, 70, 1, 299, 71, 2])
"""Of several shards, and more than are decoded in one call."""


def _values(store: shards.Store, **how: object) -> bytes:
    return store.read_into(ROWS, np.zeros((len(ROWS), shards.RECORD_VALUES), np.uint16), **how).tobytes()


def _encoded(store: shards.Store) -> bytes:
    out = np.zeros(store.encoded_bytes(ROWS), np.uint8)
    store.read_encoded_into(ROWS, out)
    return out.tobytes()


def _keep(store: shards.Store) -> bytes:
    store.keep_in_memory(ROWS[:4])
    return b""


STEPS: dict[str, Callable[[shards.Store], bytes | None]] = {
    "will_need": lambda store: store.will_need(ROWS),
    "will_read": lambda store: store.will_read(ROWS),
    "first": lambda store: store.read(int(ROWS[1])).s2.tobytes(),
    "read_into": _values,
    "unchecked": lambda store: _values(store, verify="never"),
    "always": lambda store: _values(store, verify="always"),
    "read_encoded": lambda store: b"".join(store.read_encoded(ROWS, verify="always")),
    "read_encoded_into": _encoded,
    "keep": _keep,
    "fetch": lambda store: store.fetch(ROWS),
    "kept": _values,
    "kept always": lambda store: b"".join(store.read_encoded(ROWS, verify="always")),
}
"""All ways of reading, in an order in which each meets effects of its own."""
NOT_COMPARED = ("read_into", "unchecked", "read_encoded_into", "kept")
"""Those that read records which an earlier step has compared, or compare none: a bit that flips now is not noticed."""


@pytest.fixture(scope="module")
def expected() -> dict[Path, dict[str, bytes | None]]:
    """Output that each step gives without faults, by store."""
    return {}


@pytest.mark.long
@pytest.mark.parametrize("where", ["on disk", pytest.param("mapped", marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", ["io", "short", "flipped", "memory", "full"])
def test_every_effect_of_reading_fails_once(
    any_store: Path, request: pytest.FixtureRequest, kind: Kind, where: str, expected: dict
) -> None:
    """A fault gives other pixels, an error that names nothing, an unusable store, or a descriptor for ever."""
    folder = any_store
    if where == "mapped":
        folder = damage.copy(any_store, request.getfixturevalue("memory") / "store")
    if any_store not in expected:
        with shards.open(any_store, num_threads=2) as store:
            expected[any_store] = {name: step(store) for name, step in STEPS.items()}
    before, threads = opened_files(), set(threading.enumerate())
    fired: set[str | None] = set()
    for faults in each_fault(kind):
        storage = FaultyStorage(LocalStorage(folder), faults)
        try:
            opened = shards.Store(folder, num_threads=2, storage=storage)
        except (shards.CorruptShard, MemoryError) as err:
            assert faults.fired == "read"
            assert isinstance(err, MemoryError) or str(folder) in str(err)  # noqa: PT017
            fired.add(faults.fired)
            continue
        with opened as store:
            store._readers.record._cache = FaultyCache(store._cache, faults)
            for name, step in STEPS.items():
                is_fresh = faults.fired is None
                try:
                    found = step(store)
                except (shards.CorruptShard, shards.NotEnoughMemory, MemoryError) as err:
                    assert is_fresh, f"{name} fails after {faults.fired} failed: {err}"  # noqa: PT017  Some faults do no harm.
                    assert faults.fired is not None, err  # noqa: PT017
                    assert isinstance(err, MemoryError | shards.NotEnoughMemory) or str(folder) in str(err)  # noqa: PT017
                else:
                    if not (kind == "flipped" and is_fresh and name in NOT_COMPARED):
                        assert found == expected[any_store][name], f"{name}: {faults.fired}"
        assert opened_since(before) == {}
        assert set(threading.enumerate()) <= threads
        fired.add(faults.fired)
    wanted = {"short": {"read", "fetch"}, "flipped": {"read", "fetch"}, "full": {"put"}}
    assert fired >= wanted.get(kind, {"read", "prepare", "fetch", "advise", "advise_files"})


@pytest.mark.parametrize("kind", ["io", "full", "torn", "lost", "late", "memory"])
def test_every_effect_of_a_whole_file_fails_once(tmp_path: Path, kind: Kind) -> None:
    """A file that failed to be written is there in part, takes the place of the old one, or leaves something behind."""
    path = tmp_path / "file"
    contents = [b"a" * 100_000, b"b" * 50_000]
    fired: set[str | None] = set()
    for faults in each_fault(kind):
        path.write_bytes(b"old")
        before = opened_files()
        try:
            with faulty_writes(faults), atomic_write(path) as file:
                for content in contents:
                    file.write(content)
        except (OSError, MemoryError) as err:
            assert faults.fired is not None
            assert isinstance(err, MemoryError) or err.filename == str(path)  # noqa: PT017
        if faults.fired is None or kind == "late":
            assert path.read_bytes() == b"".join(contents)
        else:
            assert path.read_bytes() == b"old"
        assert os.listdir(tmp_path) == ["file"]
        assert opened_since(before) == {}
        fired.add(faults.fired)
    assert fired - {None} == {
        "io": {"create", "write", "rename"}, "full": {"create", "write", "rename"},
        "torn": {"write"}, "lost": {"rename"}, "late": {"sync"}, "memory": {"write"},
    }[kind]  # fmt: skip


def test_writes_of_a_storage_can_fail(tmp_path: Path) -> None:
    """A storage writes by a way of its own, which no fault reaches."""
    storage = FaultyStorage(LocalStorage(tmp_path), Faults(1, "full"))
    with pytest.raises(OSError, match="No space left"), storage.create("file"):
        pass
    with storage.create("file") as file:
        file.write(b"content")
    assert (tmp_path / "file").read_bytes() == b"content"


WRITERS: dict[str, Callable[[Path, shards.Store], object]] = {
    INDEX: lambda folder, store: write_table(store.index.table, folder / INDEX),
    MANIFEST: lambda folder, store: store.manifest.write(folder),
}


@pytest.mark.parametrize("kind", ["io", "full", "torn", "lost", "late"])
@pytest.mark.parametrize("name", WRITERS)
def test_metadata_that_fails_to_be_written(tar_store: Path, tmp_path: Path, name: str, kind: Kind) -> None:
    """A store whose index or manifest is written again loses it, or has half of it, when the disk is full."""
    path = tmp_path / name
    with shards.open(tar_store) as store:
        WRITERS[name](tmp_path, store)
        new = path.read_bytes()
        for faults in each_fault(kind):
            path.write_bytes(b"old")
            try:
                with faulty_writes(faults):
                    WRITERS[name](tmp_path, store)
            except OSError as err:
                assert faults.fired is not None
                assert err.filename == str(path)  # noqa: PT017
                assert path.read_bytes() == (new if kind == "late" else b"old")
            else:
                assert faults.fired is None
                assert path.read_bytes() == new
            assert os.listdir(tmp_path) == [name]
