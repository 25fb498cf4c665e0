"""The ways of reading records that are not `read` and `read_into`, and what goes wrong on any of them."""

import os
import shutil
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import shards
from shards.codec.registry import CODECS
from shards.layout.bands import RECORD_VALUES
from shards.metadata.manifest import Manifest
from shards.metadata.parts import PARTS
from tests.shards.conftest import replace_index, shard_files, share_in_cache
from tests.support.data import faults
from tests.support.running.descriptors import opened_files


def test_encoded_bytes_decode_to_what_is_read(any_store: Path) -> None:
    """The stored bytes are those of other patches, or their number is another one than said."""
    with shards.open(any_store, num_threads=2) as store:
        rows = np.random.default_rng(1).permutation(len(store))[:40]
        expected = store.read_into(rows, np.empty((40, RECORD_VALUES), np.uint16))
        pieces = store.read_encoded(rows, verify=True)
        parts = list(PARTS[store.manifest.format].values())
        assert store.encoded_bytes(rows) == sum(len(piece) for piece in pieces)
        found = np.zeros_like(expected)
        for i, piece in enumerate(pieces):
            CODECS[store.manifest.codec].decode_into(piece, found[i // len(parts), parts[i % len(parts)]])
        np.testing.assert_array_equal(found, expected)
        packed = np.zeros(store.encoded_bytes(rows) + 3, np.uint8)
        for keep in (False, True):  # In the last pass from shared memory.
            if keep:
                store.keep_in_memory(rows)
                store.fetch(rows)
            packed[:] = 0
            assert store.read_encoded_into(rows, packed).tolist() == [len(piece) for piece in pieces]
            assert packed.tobytes() == b"".join(pieces) + bytes(3)
        with pytest.raises(ValueError, match="expected C-contiguous uint8 of at least"):
            store.read_encoded_into(rows, packed[4:])
        assert len(store.read_encoded_into([], packed[:0])) == 0
        assert store.read_encoded([]) == []
        assert store.encoded_bytes([]) == 0


def test_shards_of_rows(any_store: Path) -> None:
    """Block order mixes rows of shards that they do not lie in."""
    with shards.open(any_store) as store:
        names = store.index.table["shard"].to_pylist()
        rows = [299, 0, 64, 0]
        assert [store.manifest.shards[i].name for i in store.shard_of(rows)] == [names[row] for row in rows]
        with pytest.raises(IndexError):
            store.shard_of([300])


@pytest.mark.parametrize("keep", [False, True])
def test_every_way_of_reading_names_what_is_cut_off(any_store: Path, tmp_path: Path, keep: bool) -> None:
    """A file that is cut off while it is open gives wrong pixels, or ends the process."""
    damaged = faults.copy(any_store, tmp_path / "damaged")
    out = np.empty((8, RECORD_VALUES), np.uint16)
    with shards.open(damaged, num_threads=2) as store:
        if keep:
            store.keep_in_memory(range(8))
        store.read(7)
        path = damaged / store.manifest.shards[0].files[0].path
        whole = path.read_bytes()
        faults.truncate(path, 600)
        key = store.index.key(1)
        for read in (store.fetch, store.read_encoded, lambda rows: store.read_into(rows, out[: len(rows)])):
            with pytest.raises(shards.CorruptShard, match=f"{path.name}: the record of {key} ends after 0 bytes, exp"):
                read([1, 1])
        with open(path, "r+b") as file:
            file.write(whole)
        store.read_into(range(8), out, verify=True)


@pytest.mark.parametrize("missing", [False, True])
def test_files_that_are_not_those_of_the_manifest(any_store: Path, tmp_path: Path, missing: bool) -> None:
    """A file that was not copied, or not whole, is found late or not at all."""
    damaged = faults.copy(any_store, tmp_path / "damaged")
    path = damaged / Manifest.read(damaged).shards[0].files[0].path
    path.unlink() if missing else faults.truncate(path, path.stat().st_size - 1)
    with shards.open(damaged) as store:
        for read in (store.fetch, store.read_encoded, store.will_need, store.will_read):
            with pytest.raises(shards.CorruptShard, match=rf"{path.name} .*expected \d+"):
                read([0])


def test_uncompressed_records_of_another_size_are_refused(raw_store: Path, tmp_path: Path) -> None:
    """A record that is longer or shorter than a patch shifts all pixels behind it."""
    folder = faults.copy(raw_store, tmp_path / "damaged")
    lengths = np.full(300, shards.RECORD_BYTES, np.int32)
    lengths[17] -= 2
    replace_index(folder, s2_length=pa.array(lengths))
    with shards.open(raw_store) as store:
        key = store.index.key(17)
    with pytest.raises(shards.CorruptShard, match=f"the s2 record of {key} holds 159998 bytes, expected 160"):
        shards.open(folder)


def test_a_disk_error_names_shard_and_key(any_store: Path, tmp_path: Path) -> None:
    """A failing disk ends in an error that does not say which file it was."""
    with shards.open(faults.copy(any_store, tmp_path / "damaged")) as store:
        store.read(0)
        path = store.folder / store.manifest.shards[0].files[0].path
        if store._files.mapped:
            pytest.skip("this file system keeps files in memory, where no read fails")
        (opened,) = [descriptor for descriptor, target in opened_files().items() if target == str(path)]
        folder = os.open(tmp_path, os.O_RDONLY)
        os.dup2(folder, opened)  # Reads of a directory fail.
        os.close(folder)
        with pytest.raises(shards.CorruptShard, match=f"{path.name}: the record of {store.index.key(0)} cannot be"):
            store.read(0)


def test_after_an_error_nothing_is_written_any_more(any_store: Path, tmp_path: Path) -> None:
    """A buffer that is used again after an error is changed by a thread that still decodes into it."""
    damaged = faults.copy(any_store, tmp_path / "damaged")
    rows = np.arange(64)
    with shards.open(damaged, num_threads=4) as store:
        part = next(iter(PARTS[store.manifest.format]))
        path = damaged / store.manifest.shards[0].files[0].path
        faults.flip_bit(path, int(store.index.column(f"{part}_offset")[0]))
        out = np.zeros((64, RECORD_VALUES), np.uint16)
        with pytest.raises(shards.CorruptShard):
            store.read_into(rows, out, verify=True)
        out[:] = 1
        time.sleep(0.05)
        assert (out == 1).all()


@pytest.fixture
def cold_store(any_store: Path, tmp_path: Path) -> Path:
    """A copy of a store that is not in the page cache."""
    folder = faults.copy(any_store, tmp_path / "cold")
    for path in chain(*shard_files(folder)):
        _drop_from_cache(path)
        if share_in_cache(path) > 0:
            pytest.skip("this file system keeps files in memory")
    return folder


def test_the_kernel_reads_what_will_be_needed(cold_store: Path) -> None:
    """Block order waits for every read of a slow disk, or one shard's advice makes all others be read."""
    wanted, *others = shard_files(cold_store)
    with shards.open(cold_store) as store:
        rows = np.flatnonzero(store.shard_of(range(len(store))) == 0)
        store.will_need(rows)
        assert _shares_reach(0.9, wanted)
        # Advice binds nobody: a kernel short of memory leaves some pages out, which it reads when asked again.
        assert _shares_reach(1, wanted, lambda: store.will_need(rows))
        assert max(map(share_in_cache, chain(*others))) == 0


def test_the_kernel_reads_records_that_will_be_read(cold_store: Path) -> None:
    """Threads wait for every record of a slow disk, or bytes are read that nobody asked for."""
    wanted, *others = shard_files(cold_store)
    with shards.open(cold_store) as store:
        rows = np.flatnonzero(store.shard_of(range(len(store))) == 0)
        store.will_read(rows[:1])
        assert _shares_reach(0.01, wanted, lambda: store.will_read(rows[:1]))
        assert max(map(share_in_cache, wanted)) < 0.5
        # All but the small members between records, of tars.
        assert _shares_reach(0.9, wanted, lambda: store.will_read(rows))
        assert max(map(share_in_cache, chain(*others))) == 0


def _shares_reach(share: float, paths: list[Path], repeat: Callable[[], object] = lambda: None) -> bool:
    """Return whether so much of each file was in the page cache at some time in the next two minutes."""
    missing = set(paths)
    deadline = time.monotonic() + 120
    while missing and time.monotonic() < deadline:
        missing -= {path for path in missing if share_in_cache(path) >= share}
        time.sleep(0.01)
        repeat()
    return not missing


def _drop_from_cache(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def test_rows_in_memory_need_no_file(any_store: Path, tmp_path: Path) -> None:
    """Files of records that are in memory are read once more."""
    folder = faults.copy(any_store, tmp_path / "store")
    with shards.open(folder) as store, shards.open(folder) as other:
        store.keep_in_memory(range(len(store)))
        store.fetch(range(len(store)))
        other.attach_memory(store.memory_handle())
        shutil.rmtree(folder)
        other.will_need(range(len(store)))
        other.will_read(range(len(store)))


def test_advice_under_way_does_not_hold_up_the_end(any_store: Path, tmp_path: Path) -> None:
    """Closing a store waits until all that was announced is read."""
    folder = faults.copy(any_store, tmp_path / "large")

    def enlarge(manifest: Any) -> None:
        file = manifest["shards"][0]["files"][0]
        file["size_bytes"] = 4 << 40  # Takes no space on the disk, but the better part of an hour to read.
        os.truncate(folder / file["path"], file["size_bytes"])

    faults.edit_manifest(folder, enlarge)
    with shards.open(folder) as store:
        store.will_need([0])
        store.read(0)
        start = time.monotonic()
    assert time.monotonic() - start < 60
