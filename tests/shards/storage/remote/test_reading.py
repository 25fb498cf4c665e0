"""Stores at an address: the same bytes as from a folder, in any weather, and in any order."""

import os
import pickle
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import shards
from shards.errors import BepError, CorruptShard, InvalidValue, ShardError, UnfinishedStore
from shards.read.extents import Extents
from shards.storage.base import Ranges
from shards.storage.remote import attempts
from shards.storage.remote.address import place_of
from shards.storage.remote.coalesce import GAP, LARGEST, coalesce
from shards.testing.network import Weather
from shards.testing.stores import make_store
from tests.shards.conftest import read_rows
from tests.support.network.servers import SECRET
from tests.support.network.shelves import STORMY, Shelf

ROWS = np.random.default_rng(0).permutation(300)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "_LONGEST_WAIT", 0.1)


def test_a_store_reads_bit_for_bit_in_bad_weather(shelf: Shelf, any_store: Path) -> None:
    """Latency, refusals, resets, short and lost answers: what is read is what the folder holds, on all ways to read."""
    address = shelf.store(any_store)
    shelf.proxy.weather = STORMY
    with shards.open(any_store) as local, shards.open(address, num_threads=2) as store:
        assert str(store.folder) == address
        assert store.manifest == local.manifest
        assert store.manifest_sha256() == local.manifest_sha256()
        store.will_read(ROWS[60:120])
        store.will_need(ROWS[200:])
        for part in np.split(ROWS, 5):
            assert np.array_equal(read_rows(store, part), read_rows(local, part))
        assert store.read_encoded(ROWS[:7]) == local.read_encoded(ROWS[:7])
        assert np.array_equal(store.read(3).s2, local.read(3).s2)
        before = shelf.proxy.num_requests
        # Everything is at hand by now, also for compiled code that reads by itself, so that no answer is needed.
        shelf.proxy.weather = Weather(refused=1.0)
        for verify in ("never", "always"):
            assert np.array_equal(read_rows(store, ROWS, verify=verify), read_rows(local, ROWS))
        # A request that was sent a second time may reach the server after its answer is needed no more.
        assert shelf.proxy.num_requests - before < 10
    assert shelf.proxy.seen["none"] < shelf.proxy.num_requests


def test_a_batch_asks_for_neighbours_at_once_and_for_each_record_once(s3: Shelf, tar_store: Path) -> None:
    """300 neighbouring records take a request a shard, however often they are announced."""
    address = s3.store(tar_store)
    with shards.open(address) as store:
        before = s3.proxy.num_requests
        store.will_read(ROWS)
        store.will_need(range(300))
        read_rows(store, range(300))
        files = [shard.files[0].size_bytes for shard in store.manifest.shards]
        assert s3.proxy.num_requests - before == sum(-(-size // LARGEST) for size in files)


def test_many_requests_are_under_way_at_a_time(s3: Shelf, tar_store: Path) -> None:
    """Records that lie apart are requested side by side, so that a batch takes about one round trip."""
    address = s3.store(tar_store)
    with shards.open(address) as store:
        # On a busy machine it may take long until all are sent.
        s3.proxy.most, s3.proxy.together = 0, 32
        read_rows(store, range(0, 300, 8))
        assert 32 <= s3.proxy.most <= 64


def test_a_store_goes_to_other_processes_and_closes_twice(s3: Shelf, tar_store: Path, tmp_path: Path) -> None:
    """A pickle is the address and how it was opened."""
    with shards.open(s3.store(tar_store), cache_dir=tmp_path / "cache") as store:
        with pickle.loads(pickle.dumps(store)) as other:
            assert np.array_equal(read_rows(other, ROWS[:20]), read_rows(store, ROWS[:20]))
        other.close()
    with pytest.raises((ValueError, ShardError)):
        read_rows(store, [299])


def test_a_forked_process_reads_what_is_at_hand_and_says_why_no_more(s3: Shelf, tar_store: Path) -> None:
    """Threads of obstore do not survive a fork: a request would wait for ever."""
    with shards.open(s3.store(tar_store)) as store:
        known = read_rows(store, range(40))
        reader, writer = os.pipe()
        if (child := os.fork()) == 0:
            try:
                assert np.array_equal(read_rows(store, range(40)), known)
                read_rows(store, [250])
            except ShardError as err:
                os.write(writer, str(err).encode())
            finally:
                os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as pipe:
            assert "forked" in pipe.read()
        os.waitpid(child, 0)


def test_a_damaged_object_is_named_and_never_cached(shelf: Shelf, tmp_path: Path) -> None:
    """A record whose bytes are wrong on the server is an error of that record, and right ones beside it are read."""
    folder = make_store(tmp_path / "damaged", {"train": 20}, patches_per_shard=64)
    with shards.open(folder) as store:
        offset = int(store.index.column("s2_offset")[5])
    tar = folder / "train-00000.tar"
    raw = bytearray(tar.read_bytes())
    raw[offset + 100] ^= 1
    tar.write_bytes(raw)
    address = shelf.store(folder, f"damaged-{shelf.kind}")
    for _ in range(2):
        with shards.open(address, cache_dir=tmp_path / "cache") as store:
            read_rows(store, range(5))
            with pytest.raises(CorruptShard, match=rf"{store.index.key(5)} has CRC-32C"):
                read_rows(store, range(20))


def test_an_object_that_is_absent_or_has_another_size_is_named(shelf: Shelf, tmp_path: Path) -> None:
    """One line that names the object, what it has and what was expected."""
    folder = make_store(tmp_path / "cut", {"train": 20, "test": 10}, patches_per_shard=64)
    (folder / "train-00000.tar").unlink()
    with open(folder / "test-00000.tar", "ab") as file:
        file.write(b"more")
    address = shelf.store(folder, f"cut-{shelf.kind}")
    with shards.open(address) as store:
        with pytest.raises(CorruptShard, match=rf"^{address}/train-00000.tar: the record of .* is absent"):
            store.read(0)
        with pytest.raises(CorruptShard, match=r"test-00000.tar: the record of .* has \d+ bytes, expected \d+"):
            store.read(29)


@pytest.mark.parametrize("fault", ["refused", "reset", "short", "lost"])
def test_a_server_that_never_answers_well_is_an_error_after_some_attempts(
    s3: Shelf, tar_store: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of attempts is bounded, and the error says how many there were, and nothing of keys."""
    monkeypatch.setattr(attempts, "ATTEMPTS", 3)
    address = s3.store(tar_store)
    with shards.open(address) as store:
        s3.proxy.decide = lambda method, target: fault
        with pytest.raises(
            CorruptShard, match=r"train-00000.tar: the record of .* cannot be read: .* tried \d times"
        ) as err:
            store.read(0)
        assert SECRET not in str(err.value)
        assert "\n" not in str(err.value)
        s3.proxy.decide = None
        store.read(0)


def test_what_is_wrong_with_an_address_is_said_in_one_line(
    s3: Shelf, tar_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No such bucket, no such store, no access; keys and signatures are not repeated."""
    address = s3.store(tar_store)
    with pytest.raises(CorruptShard, match=r"^s3://other/x/manifest.json cannot be read: .*no such bucket"):
        shards.open("s3://other/x")
    with pytest.raises(UnfinishedStore, match=f"^{address}x holds no manifest.json: it is not a shard store"):
        shards.open(f"{address}x")
    for secret in ("https://me:pass@host/x", "s3://shelf/x?sig=hush", "az://shelf/x#hush"):
        with pytest.raises(InvalidValue, match="from the environment") as err:
            shards.open(secret)
        assert "pass" not in str(err.value)
        assert "hush" not in str(err.value)
    for wrong in ("s3://", "s3:///", "gs://a/../b"):
        with pytest.raises(InvalidValue, match="followed by no bucket"):
            shards.open(wrong)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setattr(attempts, "ATTEMPTS", 2)
    with pytest.raises(
        CorruptShard, match=r"the connection fails; tried 2 times in \d+ s; check the network and the"
    ) as err:
        shards.open(address)
    assert "the server that AWS_ENDPOINT_URL names" in str(err.value)
    assert SECRET not in str(err.value)
    with pytest.raises(InvalidValue, match=r"`cache_dir=.*` has no effect: .* is on this machine"):
        shards.open(tar_store, cache_dir="x")


def test_denied_access_is_said(shelf: Shelf, tar_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """s3rver compares signatures; moto and nginx do not ask for any."""
    if shelf.kind != "s3rver":
        pytest.skip(f"{shelf.kind} lets everyone in")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "wrong-key")
    with pytest.raises(CorruptShard, match="is denied to these credentials") as err:
        shards.open(shelf.store(tar_store))
    assert "wrong-key" not in str(err.value)
    assert "AWSAccessKeyId" not in str(err.value)


def test_an_address_is_a_path_that_opens_nothing() -> None:
    """It joins and pickles as a path; code that takes it for a file gets an error that says so."""
    place = place_of("S3://Bucket/some//store/")
    assert str(place) == "s3://Bucket/some/store"
    assert str(place / "a" / "b.tar") == "s3://Bucket/some/store/a/b.tar"
    assert str(place.parent) == "s3://Bucket/some"
    assert place == pickle.loads(pickle.dumps(place)) == place_of(Path("s3://Bucket/some/store"))
    assert str(place.absolute()) == str(place.resolve()) == str(place)
    with pytest.raises(BepError, match="is on object storage, expected a file or a folder of this machine"):
        place.read_bytes()
    with pytest.raises(BepError, match="is on object storage"):
        place.exists()


def test_requests_cover_all_ranges_and_little_else(tar_store: Path) -> None:
    """Each range lies in one request; requests end where a gap is long, and are bounded."""
    with shards.open(tar_store) as store:
        ranges = Extents.of(store.manifest, store.index).all()
    rng = np.random.default_rng(1)
    for share in (0.02, 0.3, 1.0):
        some = ranges.take(rng.permutation(np.flatnonzero(rng.random(len(ranges)) < share)))
        again = Ranges(*(np.r_[values, values[:3]] for values in (some.number, some.file, some.offset, some.length)))
        spans = coalesce(again)
        assert sorted(np.concatenate([span.ranges.number for span in spans])) == sorted(some.number)
        for span in spans:
            ends = span.ranges.offset + span.ranges.length
            assert (span.ranges.file == span.file).all()
            assert span.start == span.ranges.offset.min()
            assert span.end == ends.max()
            assert span.end - span.start <= max(LARGEST, int(span.ranges.length.max()))
            assert (span.ranges.offset[1:] - ends[:-1] <= GAP).all()
    assert coalesce(ranges.take(np.zeros(0, np.int64))) == []


def test_closing_does_not_wait_for_a_server_that_is_down(
    s3: Shelf, tar_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests that are being repeated are given up."""
    store = shards.open(s3.store(tar_store))
    s3.proxy.decide = lambda method, target: "refused"
    monkeypatch.setattr(attempts, "_FIRST_WAIT", 40.0)
    monkeypatch.setattr(attempts, "_LONGEST_WAIT", 80.0)
    store.will_read(ROWS)
    while s3.proxy.seen["refused"] < 5:
        time.sleep(0.01)
    begun = time.monotonic()
    store.close()
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("end", ["give_up", "close"])
@pytest.mark.parametrize("num_threads", [1, 3])
def test_reads_that_wait_for_a_server_can_be_given_up(s3: Shelf, tar_store: Path, end: str, num_threads: int) -> None:
    """They end with an error at once, in all threads; what is read after `give_up` is right."""
    address = s3.store(tar_store)
    with shards.open(tar_store) as local, shards.open(address, num_threads=num_threads) as store:
        s3.proxy.seen.clear()
        s3.proxy.weather = Weather(latency=4)
        errors: list[Exception] = []

        def read() -> None:
            with pytest.raises(ValueError, match="was given up") as err:
                read_rows(store, ROWS)
            errors.append(err.value)

        readers = [threading.Thread(target=read) for _ in range(2)]
        for reader in readers:
            reader.start()
        while not s3.proxy.num_requests:
            time.sleep(0.01)
        ending = threading.Thread(target=getattr(store, end))
        ending.start()
        for reader in readers:
            reader.join(2)
        assert len(errors) == 2
        s3.proxy.weather = Weather()
        if end == "give_up":
            assert np.array_equal(read_rows(store, ROWS), read_rows(local, ROWS))
        ending.join()
