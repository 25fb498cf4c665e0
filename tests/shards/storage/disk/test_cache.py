"""The cache on disk: survives restarts and kills, is shared by processes, keeps to its size, and is never believed."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import numpy as np
import pytest

import shards
from shards.errors import InvalidValue
from shards.runtime.scratch import ScratchFolder
from shards.storage.disk.budget import SLACK, Budget
from shards.storage.disk.image import HELD, Image
from shards.testing.stores import make_store
from tests.shards.conftest import read_rows
from tests.support.network.servers import upload
from tests.support.network.shelves import Shelf

ROWS: Final = np.random.default_rng(0).permutation(300)
_READER: Final = """
import sys
import numpy as np
import shards
from shards.storage.disk import cache as cache_module

address, cache, seed, expected, bound = sys.argv[1:]
cache_module.LEAST = 1
rows = np.random.default_rng(int(seed)).permutation(300)
want = np.load(expected)
with shards.open(address, num_threads=2, cache_dir=cache, cache_bytes=int(bound)) as store:
    store.will_need(rows)
    for part in [*np.split(rows, 10), *np.split(rows[::-1], 10)]:
        got = store.read_into(part, np.zeros((len(part), shards.RECORD_VALUES), np.uint16))
        assert (got == want[part]).all()
    print("read", flush=True)
"""


def images(folder: Path) -> list[Path]:
    """Return the images of a cache."""
    return [path for path in folder.glob("*/*") if path.name.isdecimal()]


def taken(folder: Path) -> int:
    """Return the bytes that the images of a cache take up at one moment."""
    usage = folder / "usage"
    if not usage.exists():
        return 0
    with usage.open("rb") as file:
        # Processes hold this lock while they delete images and before they write to one: else those that are deleted
        # while this counts would be added to those that are written in their place.
        fcntl.flock(file, fcntl.LOCK_EX)
        return sum(path.stat().st_blocks * 512 for path in images(folder))


def test_a_second_run_sends_no_request_for_records(s3: Shelf, any_store: Path, tmp_path: Path) -> None:
    """Records that one run has read are there for the next, and for a mirror under another address."""
    with shards.open(any_store) as local:
        expected = read_rows(local, ROWS)
    address, mirror = s3.store(any_store), s3.store(any_store, f"mirror-of-{any_store.name}")
    with shards.open(address, cache_dir=tmp_path / "cache") as store:
        assert np.array_equal(read_rows(store, ROWS), expected)
    for place in (address, mirror):
        with shards.open(place, cache_dir=tmp_path / "cache") as store:
            before = s3.proxy.num_requests
            for verify in ("never", "first", "always"):
                assert np.array_equal(read_rows(store, ROWS, verify=verify), expected)
            assert s3.proxy.num_requests == before


@pytest.mark.parametrize("verify", ["never", "first"])
def test_what_an_image_lost_is_fetched_anew(s3: Shelf, tar_store: Path, tmp_path: Path, verify: str) -> None:
    """Zeros after a power failure, flipped bits and cut images are found by the checksum, and mended."""
    with shards.open(tar_store) as local:
        expected = read_rows(local, ROWS)
    address = s3.store(tar_store)
    with shards.open(address, cache_dir=tmp_path / "cache") as store:
        read_rows(store, ROWS)
        offsets = store.index.column("s2_offset")
        shard = store.shard_of(range(300))
    first, second, third, *_ = sorted(images(tmp_path / "cache"), key=lambda path: int(path.name))
    with open(first, "r+b") as file:
        file.seek(int(offsets[np.flatnonzero(shard == 0)[3]]) + 50)
        file.write(bytes(1000))
    os.truncate(second, 1000)
    with open(third, "r+b") as file:
        file.write(bytes(third.stat().st_blocks * 100))
    for is_mended in (False, True):
        with shards.open(address, cache_dir=tmp_path / "cache") as store:
            before = s3.proxy.num_requests
            assert np.array_equal(read_rows(store, ROWS, verify=verify), expected)
            assert (s3.proxy.num_requests == before) is is_mended


def test_bytes_that_nobody_compared_never_take_the_place_of_a_record(s3: Shelf, tmp_path: Path) -> None:
    """A request for the neighbours of a record brings its bytes too; wrong ones replace those that were compared."""
    folder = make_store(tmp_path / "store", {"train": 12}, patches_per_shard=64)
    address = s3.store(folder, "store-that-is-damaged-later")
    with shards.open(folder) as local:
        expected = read_rows(local, range(12))
        offsets = local.index.column("s2_offset")
    with shards.open(address, cache_dir=tmp_path / "cache") as first:
        assert np.array_equal(read_rows(first, [5]), expected[[5]])
        tar = folder / "train-00000.tar"
        raw = bytearray(tar.read_bytes())
        for at in range(int(offsets[5]), int(offsets[6]) - 2048, 100):
            raw[at] ^= 255
        tar.write_bytes(raw)
        upload(folder, s3.server.address, "store-that-is-damaged-later")
        with shards.open(address, cache_dir=tmp_path / "cache") as second:
            assert np.array_equal(read_rows(second, [4, 6]), expected[[4, 6]])
        assert np.array_equal(read_rows(first, [5]), expected[[5]])


@pytest.mark.long
@pytest.mark.parametrize("bound", [1 << 30, 5 << 20])
def test_processes_share_a_cache_and_may_be_killed(s3: Shelf, tar_store: Path, tmp_path: Path, bound: int) -> None:
    """Several read other orders at the same time while some are killed: all that end have read the right records.

    In the smaller cache each deletes images that the others read, and it never has more bytes than it may.
    """
    with shards.open(tar_store) as local:
        np.save(tmp_path / "expected.npy", read_rows(local, range(300)))
    address, cache = s3.store(tar_store), tmp_path / "cache"

    def start(seed: int) -> subprocess.Popen[str]:
        arguments = (address, cache, seed, tmp_path / "expected.npy", bound)
        return subprocess.Popen(
            [sys.executable, "-c", _READER, *map(str, arguments)], stdout=subprocess.PIPE, text=True
        )

    killed = start(0)
    while taken(cache) < 500 << 10:
        assert killed.poll() in (None, 0)
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    running = [start(1), start(2), start(3)]
    while taken(cache) < 1 << 20:
        time.sleep(0.005)
    running.pop().kill()
    while any(process.poll() is None for process in running):
        assert taken(cache) <= bound
        time.sleep(0.01)
    for process in running:
        out, _ = process.communicate()
        assert (process.returncode, out) == (0, "read\n")
    before = s3.proxy.num_requests
    assert start(4).communicate()[0] == "read\n"
    assert taken(cache) <= bound
    if bound == 1 << 30:  # The smaller one has deleted records, and may be nearly empty at the end.
        assert s3.proxy.num_requests - before == 2  # Manifest and index.


def test_an_image_that_is_deleted_while_it_is_read_stays_whole(tmp_path: Path) -> None:
    """A holder of an image reads it to the end; one that looks again finds another, in which nothing is held."""
    image = Image(tmp_path / "0", 10_000, 4)
    image.write(5000, [memoryview(bytes(range(60))), memoryview(bytes(range(60, 100)))])
    image.hold(np.array([2]))
    other = Image(tmp_path / "0", 10_000, 4)
    other.refresh()
    assert other.state.tolist() == [0, 0, HELD, 0]
    (tmp_path / "0").unlink()
    assert image.is_deleted()
    assert other.is_deleted()
    new = Image(tmp_path / "0", 10_000, 4)
    image.hold(np.array([0, 1, 3]))  # Of a writer that does not know yet.
    new.refresh()
    assert not new.state.any()
    buffer = np.empty(100, np.uint8)
    assert other.read(5000, buffer)
    assert buffer.tolist() == list(range(100))


def test_counts_that_a_killed_process_left_are_mended(tmp_path: Path) -> None:
    """Bytes that were promised and never written count only until nobody has the cache open."""
    budget = Budget(tmp_path, 1 << 20)
    assert budget.reserve((1 << 20) - SLACK)
    assert not budget.reserve(1)
    budget.close()
    budget = Budget(tmp_path, 1 << 20)
    assert budget.reserve(1)
    budget.spent(1)
    budget.close()


def test_a_full_disk_is_said_once_and_reading_goes_on(
    s3: Shelf, tar_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records then come over the network each time."""

    def full(*args: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Image, "write", full)
    with shards.open(tar_store) as local:
        expected = read_rows(local, ROWS)
    with shards.open(s3.store(tar_store), cache_dir=tmp_path / "c") as store:
        with pytest.warns(UserWarning, match="the disk of the cache in .* is full; nothing more is stored there"):
            found = read_rows(store, ROWS)
        assert np.array_equal(found, expected)
        assert np.array_equal(read_rows(store, ROWS), expected)


def test_a_folder_of_something_else_is_refused(s3: Shelf, tar_store: Path, tmp_path: Path) -> None:
    """Nothing of it is touched; a limit below that of a few requests is refused, too."""
    (tmp_path / "mine.txt").write_text("mine")
    address = s3.store(tar_store)
    with pytest.raises(InvalidValue, match=r"holds 'mine.txt' and is no cache of bep"):
        shards.open(address, cache_dir=tmp_path)
    assert os.listdir(tmp_path) == ["mine.txt"]
    with pytest.raises(InvalidValue, match=r"cache_bytes=10"):
        shards.open(address, cache_dir=tmp_path / "new", cache_bytes=10)
    with pytest.raises(InvalidValue, match=r"`cache_dir=.*` cannot hold a cache: Not a directory"):
        shards.open(address, cache_dir=tmp_path / "mine.txt" / "below")


def test_a_cache_of_the_process_goes_with_it(
    s3: Shelf, tar_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By `close`; what a living process has is not deleted by the next."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with shards.open(s3.store(tar_store)) as store:
        read_rows(store, [1, 2])
        (folder,) = tmp_path.glob("bep-cache.*")
        ScratchFolder("cache").close()
        assert folder.exists()
    assert not folder.exists()
    assert list(tmp_path.glob("*bep-cache*")) == []


def test_a_store_of_other_records_under_the_same_address_has_images_of_its_own(s3: Shelf, tmp_path: Path) -> None:
    """Images belong to the checksums of a manifest."""
    for seed in (1, 2):
        folder = make_store(tmp_path / str(seed), {"train": 9}, seed)
        s3._stored.discard("replaced")
        address = s3.store(folder, "replaced")
        with shards.open(folder) as local, shards.open(address, cache_dir=tmp_path / "cache") as store:
            assert np.array_equal(read_rows(store, range(9)), read_rows(local, range(9)))
