"""Stores in a memory file system: mapped, equal to what files hold, and never read behind an end."""

import functools
import multiprocessing
import os
import zlib
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numcodecs import blosc

import shards
from shards.layout.bands import RECORD_VALUES
from shards.metadata.parts import PARTS
from shards.storage.mapped import map_in_memory
from tests.shards.conftest import EACH_STORE, read_rows, replace_index, shard_files
from tests.support.data import bitpack_reference, faults
from tests.support.running.descriptors import opened_files, opened_since

DECODERS = {
    "blosc-lz4": lambda data: np.frombuffer(blosc.decompress(data), np.uint16),
    "bitpack": functools.cache(bitpack_reference.decode),
    "raw": lambda data: np.frombuffer(data, np.uint16),
}
FORK, SPAWN = multiprocessing.get_context("fork"), multiprocessing.get_context("spawn")


@pytest.fixture(params=EACH_STORE)
def on_disk(request: pytest.FixtureRequest) -> Path:
    """A store of each format and kind of codec, wherever pytest puts them."""
    path: Path = request.getfixturevalue(request.param)
    return path


@pytest.fixture
def in_memory(on_disk: Path, memory: Path) -> Path:
    """A copy of it in tmpfs."""
    return faults.copy(on_disk, memory / "store")


def mapped_paths(folder: Path) -> set[str]:
    """Return the files below a folder that this process has mapped."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return {path for line in lines if (path := line.partition("/")[2]) and f"/{path}".startswith(f"{folder}/")}


def from_files(folder: Path, rows: np.ndarray) -> np.ndarray:
    """Return records read with nothing but the index, Python's files and numcodecs."""
    out = np.zeros((len(rows), RECORD_VALUES), np.uint16)
    with shards.open(folder) as store:
        files, decode = shard_files(folder), DECODERS[store.manifest.codec]
        for i, (row, shard) in enumerate(zip(rows.tolist(), store.shard_of(rows).tolist(), strict=True)):
            for path, (part, values) in zip(files[shard], PARTS[store.manifest.format].items(), strict=True):
                offset, length = (int(store.index.column(f"{part}_{what}")[row]) for what in ("offset", "length"))
                with open(path, "rb") as file:
                    file.seek(offset)
                    data = file.read(length)
                out[i, values] = decode(data)
    return out


@pytest.mark.long
@pytest.mark.parametrize("num_threads", [1, 3])
def test_shuffled_rows_equal_the_files(in_memory: Path, num_threads: int) -> None:
    """Records from a mapping are others than those of the files, or nothing is mapped."""
    rows = np.random.default_rng(4).integers(0, 300, 403)
    expected = from_files(in_memory, rows)
    with shards.open(in_memory, num_threads=num_threads) as store:
        for verify in (False, True):
            np.testing.assert_array_equal(read_rows(store, rows, verify=verify), expected)
        for count in range(6):
            np.testing.assert_array_equal(read_rows(store, rows[:count]), expected[:count])
        np.testing.assert_array_equal(store.read(int(rows[0])).s2, expected[0])
        files = {str(path).removeprefix("/") for shard in shard_files(in_memory) for path in shard}
        assert mapped_paths(in_memory) == files


def test_only_whole_files_in_memory_are_mapped(memory: Path, tmp_path: Path) -> None:
    """A disk error, or a hole in a file of a full tmpfs, ends the process instead of in an error."""

    def is_mapped(path: Path) -> bool:
        with open(path, "rb") as file:
            return map_in_memory(file.fileno()) is not None

    file = memory / "file"
    for content, expected in ((bytes(100_000), True), (b"1", True), (b"", False)):
        file.write_bytes(content)
        assert is_mapped(file) == expected
    file.write_bytes(bytes(100_000))
    os.truncate(file, 200_000)
    assert not is_mapped(file)
    if os.stat(tmp_path).st_dev == os.stat(memory).st_dev:
        pytest.skip("pytest's folder is in memory")
    (tmp_path / "file").write_bytes(b"1")
    assert not is_mapped(tmp_path / "file")


@pytest.mark.parametrize("num_threads", [1, 3])
def test_a_file_cut_off_while_it_is_mapped(in_memory: Path, num_threads: int) -> None:
    """A mapping is read behind the end of its file, which ends the process, or gives zeros in the last page."""
    with shards.open(in_memory, num_threads=num_threads) as store:
        rows = np.flatnonzero(store.shard_of(range(300)) == 0)
        part = next(iter(PARTS[store.manifest.format]))
        offsets = store.index.column(f"{part}_offset")[rows]
        first, second, *_, last = rows[np.argsort(offsets)].tolist()
        expected = read_rows(store, rows)
        path = shard_files(in_memory)[0][0]
        for size, lost in ((offsets.max() + 10, last), (offsets.min() + 1, first), (0, second)):
            faults.truncate(path, int(size))
            for verify in (False, True):
                with pytest.raises(shards.CorruptShard, match=rf"{path.name}: .*{store.index.key(lost)} ends after"):
                    read_rows(store, [lost, lost], verify=verify)
            if lost == last:
                np.testing.assert_array_equal(read_rows(store, [first])[0], expected[rows.tolist().index(first)])


def test_a_file_that_is_replaced_while_it_is_open(in_memory: Path) -> None:
    """A store that is open gives the pixels of another file, or one that is opened anew does not notice it."""
    path = shard_files(in_memory)[0][0]
    with shards.open(in_memory) as store:
        row = int(np.flatnonzero(store.shard_of(range(300)) == 0)[0])
        expected = store.read(row).s2.copy()
        other = path.with_name("other")
        other.write_bytes(bytes(path.stat().st_size))
        os.replace(other, path)
        np.testing.assert_array_equal(store.read(row, verify=True).s2, expected)
    with shards.open(in_memory) as store, pytest.raises(shards.CorruptShard, match=r"CRC-32C .*expected"):
        store.read(row, verify=True)


@pytest.mark.parametrize("offset", [-2, 1 << 40])
def test_places_that_are_not_in_the_file(raw_store: Path, memory: Path, offset: int) -> None:
    """A wrong place in the index counts from the end of the mapping, or leaves the output as it was."""
    folder = faults.copy(raw_store, memory / "store")
    with shards.open(folder) as store:
        offsets = store.index.column("s2_offset").astype(np.int64)
    offsets[5] = offset
    replace_index(folder, s2_offset=pa.array(offsets))
    with pytest.raises(shards.CorruptShard, match=r"lies at -2 \+|lies at 1099511627776 \+"):
        shards.open(folder)
    with (
        shards.Store(folder, compare=False) as store,
        pytest.raises(shards.CorruptShard, match=r"ends after|cannot be read"),
    ):
        store.read(5)


def test_rows_to_be_kept_in_memory_are_kept(in_memory: Path) -> None:
    """Records that are to be kept are taken from the mapping again, so that their file is still needed."""
    with shards.open(in_memory, num_threads=2) as store:
        expected = read_rows(store, range(300))
        store.keep_in_memory(range(200))
        np.testing.assert_array_equal(read_rows(store, range(300)), expected)
        for path in [path for paths in shard_files(in_memory) for path in paths]:
            faults.truncate(path, 0)
        np.testing.assert_array_equal(read_rows(store, range(200)), expected[:200])
        with pytest.raises(shards.CorruptShard, match="ends after 0 bytes"):
            read_rows(store, range(190, 210))


def test_nothing_stays_open(in_memory: Path) -> None:
    """Opening stores again and again exhausts descriptors or address space."""
    before = opened_files()
    for _ in range(3):
        store = shards.open(in_memory, num_threads=2)
        read_rows(store, range(300))
        assert mapped_paths(in_memory)
        store.close()
        store.close()
        assert not mapped_paths(in_memory)
        assert opened_since(before) == {}


def test_a_mapping_in_use_does_not_hold_up_the_end(in_memory: Path) -> None:
    """A thread that still reads makes closing fail, or loses the memory that it reads."""
    store = shards.open(in_memory)
    store.read(0)
    in_use = [mapped.bytes for mapped in store._files.mapped.values()]
    before = [zlib.crc32(content) for content in in_use]
    store.close()
    assert before
    assert [zlib.crc32(content) for content in in_use] == before
    in_use.clear()
    assert not mapped_paths(in_memory)


def _checksum(source: "Path | shards.Store") -> int:
    store = shards.open(source, num_threads=1) if isinstance(source, Path) else source
    return zlib.crc32(read_rows(store, range(299, -1, -1)))


def _send_checksum(source: "Path | shards.Store", answers: Connection) -> None:
    answers.send(_checksum(source))


@pytest.mark.long
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_read_the_same(in_memory: Path, method: str) -> None:
    """A worker that inherits an open store, or opens it itself, reads other pixels than its parent."""
    context = FORK if method == "fork" else SPAWN
    with shards.open(in_memory, num_threads=1) as store:
        expected = _checksum(store)
        answers, theirs = context.Pipe(duplex=False)
        # A store cannot be sent, but is inherited.
        worker = context.Process(target=_send_checksum, args=(store if method == "fork" else in_memory, theirs))
        worker.start()
        assert answers.poll(60)
        assert answers.recv() == expected
        worker.join()
        assert worker.exitcode == 0
        assert _checksum(store) == expected


def test_damaged_widths_in_a_mapping_name_the_patch(packed_store: Path, memory: Path) -> None:
    """A record is decoded by widths that are not its own, behind its end too, or nobody learns which it is."""
    folder = faults.copy(packed_store, memory / "store")
    with shards.open(folder) as store:
        rows = np.flatnonzero(store.shard_of(range(300)) == 1)
        expected = read_rows(store, rows)
        row, key = rows[6], store.index.key(rows[6])
        path = folder / store.manifest.shards[1].files[0].path
        with open(path, "r+b") as file:
            for byte in (0xFF, 0x00):
                file.seek(int(store.index.column("s2_offset")[row]) + bitpack_reference.COEFFICIENTS)
                file.write(bytes([byte] * 100))
                file.flush()
                with pytest.raises(shards.CorruptShard, match=f"{path.name}: the record of {key} holds"):
                    read_rows(store, rows)
        others = np.delete(rows, 6)
        np.testing.assert_array_equal(read_rows(store, others), np.delete(expected, 6, axis=0))


@pytest.mark.parametrize("length", [-5, 10, 200_000])
@pytest.mark.parametrize("mapped", [False, True])
def test_lengths_that_are_not_those_of_records(
    packed_store: Path, memory: Path, tmp_path: Path, mapped: bool, length: int
) -> None:
    """A wrong length in the index lets the kernel write behind the memory that records are read into."""
    folder = faults.copy(packed_store, (memory if mapped else tmp_path) / "store")
    rows = np.arange(8)
    with shards.open(folder) as store:
        expected, lengths = read_rows(store, rows), store.index.column("s2_length").astype(np.int32)
    lengths[5] = length
    damaged = faults.copy(folder, tmp_path / "damaged")
    replace_index(damaged, s2_length=pa.array(lengths))
    with pytest.raises(shards.CorruptShard, match=rf"holds {length} bytes, expected 5030 … 165030"):
        shards.open(damaged)
    with shards.open(folder) as store:
        store._extents.length[5] = length  # The second line of defence.
        with pytest.raises(shards.CorruptShard, match=rf"{store.index.key(5)} (holds|ends after) \d+ bytes"):
            read_rows(store, rows, verify="never")
        with pytest.raises(shards.CorruptShard, match=rf"{store.index.key(5)} (has CRC-32C|ends after \d+ bytes)"):
            read_rows(store, rows)
        np.testing.assert_array_equal(read_rows(store, np.delete(rows, 5)), np.delete(expected, 5, axis=0))


@pytest.mark.parametrize("where", ["mapped", "files"])
def test_hostile_places_end_in_one_error(in_memory: Path, where: str) -> None:
    """An offset whose sum with the length wraps is taken for a place in the mapping, and the process ends."""
    with shards.open(in_memory, num_threads=2, mapped=where == "mapped") as store:
        rows = np.arange(4, 9)
        expected = read_rows(store, rows)
        extents = store._extents
        number = int(extents.numbers(np.array([6]))[-1])  # Behind whatever is checked when a store is opened.
        for values, hostile in (
            (extents.offset, (2**63 - 1, 2**63 - 50_000, -1, -(2**63), 1 << 40)),
            # Those of uncompressed records are compared when the store is opened.
            (extents.length, () if store.manifest.codec == "raw" else (-(2**31), -1, 0, 3)),
        ):
            sound = int(values[number])
            for value in hostile:
                values[number] = value
                for mode in ("never", "first", "always"):
                    with pytest.raises(shards.CorruptShard, match=f"the record of {store.index.key(6)} "):
                        read_rows(store, rows, verify=mode)
                    with pytest.raises(shards.CorruptShard, match=f"the record of {store.index.key(6)} "):
                        store.read(6, verify=mode)
                store.will_read(rows)
            values[number] = sound
        np.testing.assert_array_equal(read_rows(store, rows), expected)
