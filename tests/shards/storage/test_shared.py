"""Records in shared memory: equal by every path, safe among threads and processes, and gone afterwards."""

import hashlib
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import shards
from shards.metadata.parts import PARTS
from tests.shards.conftest import read_rows
from tests.support.data import faults
from tests.support.running.descriptors import opened_files


def remove_files(folder: Path) -> None:
    """Remove all that holds records; manifest and index stay."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.suffix in (".tar", ".idx"):
            path.unlink()


@pytest.mark.long
@pytest.mark.parametrize("num_threads", [1, 3])
def test_every_path_gives_the_same_pixels(any_store: Path, tmp_path: Path, num_threads: int) -> None:
    """Records differ once they are kept in memory, or a file is still read for them."""
    folder = faults.copy(any_store, tmp_path / "store")
    rows = np.random.default_rng(5).permutation(300)
    with shards.open(folder, num_threads=num_threads) as store:
        direct = read_rows(store, rows)
    with shards.open(folder, num_threads=num_threads) as store:
        kept = rows[:200]
        store.keep_in_memory(kept[:150])
        store.keep_in_memory(kept[100:])
        for verify in (False, True):
            for first in range(0, 300, 70):  # Some are kept already, some not yet, some never.
                part = slice(first // 2, first + 70)
                np.testing.assert_array_equal(read_rows(store, rows[part], verify=verify), direct[part])
        for path in [path for path in folder.rglob("*") if path.is_file()]:
            faults.truncate(path, 0)
        for verify in (False, True):
            np.testing.assert_array_equal(read_rows(store, kept, verify=verify), direct[:200])
            np.testing.assert_array_equal(store.read(int(kept[3]), verify=verify).s2, direct[3])
        assert store.read_encoded(kept[:9]) == store.read_encoded(kept[:9], verify=True)
        with pytest.raises(shards.CorruptShard, match="ends after"):
            read_rows(store, rows[190:210])


def test_rows_are_kept_wherever_they_are_read_first(any_store: Path, tmp_path: Path) -> None:
    """A way of reading bypasses the memory."""
    folder = faults.copy(any_store, tmp_path / "store")
    with shards.open(folder, num_threads=2) as store:
        expected = read_rows(store, range(5))
        store.keep_in_memory(range(5))
        store.fetch([0])
        store.read_encoded([1])
        store.read(2)
        read_rows(store, [3, 4])
        remove_files(folder)
        with shards.open(folder) as other:
            with pytest.raises(shards.CorruptShard, match="is absent"):
                read_rows(other, range(5))
            other.attach_memory(store.memory_handle())
            np.testing.assert_array_equal(read_rows(other, range(5)), expected)


def _read_attached(folder: Path, handle: str, rows: list[int], verify: bool) -> str:
    with shards.open(folder, num_threads=2) as store:
        store.attach_memory(handle)
        store.keep_in_memory(rows)
        return hashlib.sha256(read_rows(store, rows, verify=verify).tobytes()).hexdigest()


@pytest.mark.long
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_share_the_memory(any_store: Path, tmp_path: Path, method: str) -> None:
    """Ranks of one machine read other pixels, or keep a copy each, or do not see what another one has read."""
    folder = faults.copy(any_store, tmp_path / "store")
    rows = list(range(0, 300, 7))
    with shards.open(folder, num_threads=2) as store:
        expected = hashlib.sha256(read_rows(store, rows).tobytes()).hexdigest()
        handle = store.memory_handle()
        store.keep_in_memory(rows)
        half = len(rows) // 2
        read_rows(store, rows[:half])
        with multiprocessing.get_context(method).Pool(2) as pool:
            # The others read what is missing, and what they read is here as well.
            found = pool.starmap(_read_attached, [(folder, handle, rows, verify) for verify in (False, True)])
            assert found == [expected, expected]
            remove_files(folder)
            assert pool.apply(_read_attached, (folder, handle, rows, True)) == expected
        assert hashlib.sha256(read_rows(store, rows).tobytes()).hexdigest() == expected


def test_threads_may_fill_the_same_rows(any_store: Path) -> None:
    """A thread reads a record that another one has not written to its end yet."""
    rows = np.arange(60)
    with shards.open(any_store) as store:
        expected = read_rows(store, rows)
    for _ in range(3):
        with shards.open(any_store, num_threads=3) as store, ThreadPoolExecutor(4) as pool:
            store.keep_in_memory(rows)
            for found in pool.map(lambda _: read_rows(store, rows, verify=True), range(8)):
                np.testing.assert_array_equal(found, expected)


def test_a_damaged_record_is_not_kept(any_store: Path, tmp_path: Path) -> None:
    """A flipped bit is kept for the whole training, because nobody asked for checks when it was read."""
    folder = faults.copy(any_store, tmp_path / "store")
    with shards.open(folder, num_threads=2) as store:
        part = list(PARTS[store.manifest.format])[-1]
        path = folder / store.manifest.shards[0].files[len(PARTS[store.manifest.format]) - 1].path
        place = int(store.index.column(f"{part}_offset")[1]) + int(store.index.column(f"{part}_length")[1]) - 1
        expected = read_rows(store, [0, 1])
        store.keep_in_memory([0, 1])
        faults.flip_bit(path, place)
        for _ in range(2):
            with pytest.raises(shards.CorruptShard, match=f"{path}: the record of {store.index.key(1)} has CRC-32C"):
                read_rows(store, [0, 1])
        faults.flip_bit(path, place)
        np.testing.assert_array_equal(read_rows(store, [0, 1]), expected)


def test_damage_in_memory_is_found_with_verify(any_store: Path) -> None:
    """A bit that flips in memory reaches training although checks were asked for."""
    with shards.open(any_store) as store:
        store.keep_in_memory([0])
        store.fetch([0])
        piece = store.read_encoded([0])[0]
        with open(store.memory_handle(), "r+b") as memory:
            content = memory.read(1 << 20)
            memory.seek(content.index(piece))
            memory.write(bytes([piece[0] ^ 8]))
        with pytest.raises(shards.CorruptShard, match="has CRC-32C"):
            read_rows(store, [0], verify=True)


def test_memory_is_taken_only_for_what_is_read(any_store: Path) -> None:
    """Keeping a split takes the memory of the whole store, or before it is needed."""
    with shards.open(any_store) as store:
        store.keep_in_memory(range(100, 300))

        def taken() -> int:
            return os.stat(store.memory_handle()).st_blocks * 512

        page = os.sysconf("SC_PAGESIZE")
        assert taken() <= 2 * page
        read_rows(store, range(90, 130))
        assert store.encoded_bytes(range(100, 130)) <= taken() <= store.encoded_bytes(range(100, 130)) + 4 * page


def test_too_little_memory_is_an_error_beforehand(tar_store: Path) -> None:
    """The kernel ends the training when the memory is full, hours after its start."""
    with shards.open(tar_store) as store:
        # No store that opens has such lengths, nor is one of 600 GB at hand.
        store._extents.length[:] = 2**31 - 1
        assert store.encoded_bytes(range(300)) == 300 * (2**31 - 1)
        with pytest.raises(shards.NotEnoughMemory, match=r"keeping 300 records takes 644,245,094,100 bytes of memory"):
            store.keep_in_memory(range(300))
        assert "bep-records" not in Path("/proc/self/maps").read_text()


def test_memory_that_gives_out_is_an_error_and_no_wrong_pixel(any_store: Path) -> None:
    """A record that there was no memory for is taken for one that is there."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with shards.open(any_store, num_threads=2) as store:
        rows = range(270, 300)
        expected = read_rows(store, rows)
        store.keep_in_memory(rows)
        try:
            # The kernel refuses writes to the end of the memory as if there were none.
            size = os.stat(store.memory_handle()).st_size
            resource.setrlimit(resource.RLIMIT_FSIZE, (size - store.encoded_bytes(rows[10:]) - 1000, hard))
            with pytest.raises(shards.NotEnoughMemory, match="of a record can"):
                read_rows(store, rows)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        for _ in range(2):
            np.testing.assert_array_equal(read_rows(store, rows), expected)


def test_closing_frees_memory_and_descriptors(any_store: Path) -> None:
    """Each store that was open leaves its memory or a descriptor behind."""

    def left() -> tuple[int, int]:
        ours = [path for path in opened_files().values() if "bep-records" in path or path.startswith(str(any_store))]
        return len(ours), Path("/proc/self/maps").read_text().count("bep-records")

    assert left() == (0, 0)
    for _ in range(3):
        with shards.open(any_store, num_threads=2) as store, shards.open(any_store, num_threads=2) as other:
            other.attach_memory(store.memory_handle())
            store.keep_in_memory(range(20))
            read_rows(store, range(40))
            read_rows(other, range(20))
            assert left()[0] > 2
            assert left()[1] == 2
            store.close()
            read_rows(other, range(20))
        assert left() == (0, 0)


_OWNER = """
import sys, time, shards
store = shards.open(sys.argv[1])
store.keep_in_memory(range(10))
store.fetch(range(10))
print(store.memory_handle(), flush=True)
time.sleep(600)
"""


def test_the_memory_outlives_a_killed_owner_while_it_is_used(any_store: Path, tmp_path: Path) -> None:
    """The end of one rank takes the records of the others, or a killed run leaves memory behind."""
    folder = faults.copy(any_store, tmp_path / "store")
    with shards.open(folder) as store:
        expected = read_rows(store, range(10))
    owner = subprocess.Popen([sys.executable, "-c", _OWNER, folder], stdout=subprocess.PIPE, text=True)
    try:
        handle = owner.stdout.readline().strip()
        remove_files(folder)
        with shards.open(folder) as store:
            store.attach_memory(handle)
            owner.send_signal(signal.SIGKILL)
            owner.wait()
            np.testing.assert_array_equal(read_rows(store, range(10)), expected)
            assert "bep-records" in Path("/proc/self/maps").read_text()
        assert "bep-records" not in Path("/proc/self/maps").read_text()
        with shards.open(folder) as store, pytest.raises(shards.ShardError, match=r"cannot be opened .*living process"):
            store.attach_memory(handle)
    finally:
        owner.kill()
        owner.wait()
        owner.stdout.close()


def test_the_memory_of_something_else_is_refused(tar_store: Path, raw_store: Path, tmp_path: Path) -> None:
    """A process takes records of another store for its own."""
    (tmp_path / "file").write_bytes(bytes(1 << 20))
    with shards.open(tar_store) as store, shards.open(raw_store) as other:
        for handle, what in ((other.memory_handle(), "another store"), (str(tmp_path / "file"), "something else")):
            with pytest.raises(shards.ShardError, match=f"{handle} holds {what}"):
                store.attach_memory(handle)
        copied = tmp_path / "copied"
        shutil.copyfile(store.memory_handle(), copied)  # The right bytes, but a file that someone can cut off.
        with shards.open(tar_store) as another:
            with pytest.raises(shards.ShardError, match="expected the shared records"):
                another.attach_memory(str(copied))
            another.memory_handle()
            with pytest.raises(ValueError, match="keeps records in memory already"):
                another.attach_memory(store.memory_handle())


def test_shared_memory_cannot_be_cut_off(tar_store: Path) -> None:
    """Another process ends all ranks by shortening the memory that they read."""
    with shards.open(tar_store) as store:
        for size in (0, 1 << 40):
            with pytest.raises(PermissionError):
                os.truncate(store.memory_handle(), size)
