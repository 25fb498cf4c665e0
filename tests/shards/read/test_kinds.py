"""Arguments of other kinds than a store takes: errors of ours, which say what is expected."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import shards
from shards import InvalidValue, Store
from shards.testing.stores import make_store

NO_ROWS: tuple[Any, ...] = ("x", "train", None, 1.5, b"x", {"a": 1}, slice(0, 2), Ellipsis)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return shards.open(make_store(tmp_path_factory.mktemp("kinds") / "store", {"train": 3, "test": 1}))


@pytest.mark.parametrize("row", [*NO_ROWS, [0]], ids=repr)
def test_a_row_is_an_integer(store: Store, row: Any) -> None:
    """A text in place of a row ends in a TypeError that compares it with a number."""
    for call in (store.read, store.__getitem__, store.index.facts, store.index.key):
        with pytest.raises(InvalidValue, match=r"^row is .*, expected an integer from 0 to 3$"):
            call(row)


@pytest.mark.parametrize("rows", [*NO_ROWS, 2, True, [1.0], ["a"], [True], [[1]], [1, [2]], [None, 1]], ids=repr)
def test_rows_are_integers(store: Store, rows: Any) -> None:
    """Rows of another kind end in an error of NumPy, or read other patches."""
    out = np.empty((1, shards.RECORD_VALUES), np.uint16)
    calls: list[Callable[[Any], Any]] = [
        lambda rows: store.read_into(rows, out),
        store.read_encoded,
        lambda rows: store.read_encoded_into(rows, np.empty(1 << 20, np.uint8)),
        store.fetch,
        store.shard_of,
        store.encoded_bytes,
        store.keep_in_memory,
        store.will_need,
        store.will_read,
    ]
    for call in calls:
        with pytest.raises(InvalidValue, match=r"expected integers from 0 to 3, such as store\.index\.rows\('train'\)"):
            call(rows)


def test_rows_beyond_the_end_are_index_errors(store: Store) -> None:
    """The error that Python's protocols rely on is another one."""
    for row in (4, -5, 10**30):
        with pytest.raises(IndexError, match="of a store of 4"):
            store.read(row)
    assert (store.read(-1).key, store[np.int32(3)].key) == (store.index.key(3),) * 2
    assert store.shard_of([]).shape == (0,)


@pytest.mark.parametrize("out", [None, "x", [1, 2]], ids=repr)
def test_room_is_an_array(store: Store, out: Any) -> None:
    """An object that is no array ends in a traceback about a missing attribute."""
    for read in (store.read_into, store.read_encoded_into):
        with pytest.raises(InvalidValue, match=r"^out is .*, expected a numpy\.ndarray$"):
            read([0], out)


def test_names_are_texts(store: Store) -> None:
    """A list in place of a name is not hashable, and a text in place of several names is taken letter by letter."""
    patch = store.read(0)
    calls: list[tuple[Callable[[], Any], str]] = [
        (lambda: patch.band([]), r"no band \[\]"),  # type: ignore[arg-type]
        (lambda: patch.group([]), r"has no group \[\]"),  # type: ignore[arg-type]
        (lambda: store.fetch([0], group=[]), r"has no group \[\]"),  # type: ignore[arg-type]
        (lambda: store.read(0, groups="s2"), "groups is 's2', expected several names"),
        (lambda: store.read(0, groups=1), "groups is 1, expected several names"),  # type: ignore[arg-type]
        (lambda: store.index.labels(19), r"nomenclature is 19, expected a shards\.Nomenclature"),  # type: ignore[arg-type]
        (lambda: shards.to_xarray(store, []), r"has no split \[\], only train, test"),  # type: ignore[arg-type]
        (lambda: shards.to_xarray("store", "train"), r"store is 'store', expected a shards\.Store"),  # type: ignore[arg-type]
        (lambda: shards.to_xarray(store, "train", patches_per_chunk=1.5), "patches_per_chunk is 1.5"),  # type: ignore[arg-type]
        (lambda: shards.open(3), "the place of a store is 3, expected a path or an address"),  # type: ignore[arg-type]
        (lambda: shards.open("x", num_threads="2"), "num_threads is '2', expected at least 1"),  # type: ignore[arg-type]
        (lambda: shards.open("x", num_threads=1.5), "num_threads is 1.5, expected at least 1"),  # type: ignore[arg-type]
    ]
    for call, said in calls:
        with pytest.raises(InvalidValue, match=said):
            call()


def test_objects_say_what_they_are(store: Store) -> None:
    """A notebook shows an address in memory, or thousands of characters."""
    assert repr(store.manifest) == ("<Manifest of BigEarthNet v2: webdataset, blosc-lz4, 4 patches (3 train, 1 test)>")
    assert repr(store) == f"<Store {store.folder}: webdataset, blosc-lz4, 4 patches (3 train, 1 test)>"
    assert repr(store.index).startswith("<Index: 4 rows with key, split, shard, ")
