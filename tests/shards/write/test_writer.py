"""The writer of stores: what it commits, what it refuses, and that its parts can be apart."""

import json
import multiprocessing
import os
import pickle
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import shards
from shards import RECORD_VALUES, SPLITS
from shards.errors import InvalidValue, UnfinishedStore
from shards.layout.facts import Facts
from shards.layout.statistics import band_statistics
from shards.metadata.entries import ShardInfo
from shards.write import ShardWriter, StoreOptions, StoreWriter, finish_store
from tests.support.data.building import contents
from tests.support.strategies import facts, records

KINDS = [("webdataset", codec) for codec in shards.CODECS] + [
    ("zarr", codec) for codec in ("blosc-lz4", "blosc-zstd", "raw")
]
RECORD = np.arange(RECORD_VALUES, dtype=np.uint32).astype(np.uint16)


def patch(key: str = "k", split: str = "train", **known: Any) -> Facts:
    """Return facts of a patch."""
    place = {"epsg": 32633, "ulx": 0.0, "uly": 0.0, "seasonal_snow": None, "cloud_or_shadow": None}
    told = {"label_mask": 1, "country": None, "date": datetime(2018, 1, 2)}
    return Facts(key=key, split=split, **(place | told | known))


def write(shard: ShardWriter, count: int, start: int = 0) -> None:
    """Add patches to a shard."""
    for i in range(start, start + count):
        shard.add(patch(f"{shard.name}_{i}", shard.name.partition("-")[0], label_mask=1 << i % 19), RECORD + i)


@pytest.mark.long
@given(
    known=st.lists(facts(), min_size=1, max_size=7, unique_by=lambda one: one.key),
    drawn=st.lists(records(), min_size=1, max_size=3),
    kind=st.sampled_from(KINDS),
    patches_per_shard=st.integers(1, 4),
    seed=st.randoms(use_true_random=False),
)
@settings(max_examples=25)
def test_what_was_added_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    known: list[Facts],
    drawn: list[NDArray[np.uint16]],
    kind: tuple[Any, str],
    patches_per_shard: int,
    seed: Any,
) -> None:
    """A patch comes back with other pixels or facts, at another place, or counts elsewhere in the statistics."""
    folder = tmp_path_factory.mktemp("writer") / "store"
    by_split = {split: [one for one in known if one.split == split] for split in SPLITS}
    pixels = {one.key: drawn[i % len(drawn)] for i, one in enumerate(known)}
    planned = [
        (split, number, members[start : start + patches_per_shard])
        for split, members in by_split.items()
        for number, start in enumerate(range(0, len(members), patches_per_shard))
    ]
    seed.shuffle(planned)
    with StoreWriter(folder, format=kind[0], codec=kind[1], patches_per_shard=patches_per_shard) as store:
        for split, number, members in planned:
            with store.shard(split, number) as shard:
                for one in members:
                    if seed.random() < 0.5:
                        shard.add(one, pixels[one.key])
                    else:
                        record = shard.next_record()
                        record[:] = pixels[one.key]
                        shard.add(one, record)
    with shards.open(folder, num_threads=1) as opened:
        expected = [one for members in by_split.values() for one in members]
        assert opened.manifest == store.manifest
        for row, one in enumerate(expected):
            found = opened.read(row)
            assert {name: value for name, value in asdict(one).items() if getattr(found, name) != value} == {}
            assert np.array_equal(found.s2, pixels[one.key])
        for split, members in by_split.items():
            if members:
                blue = np.concatenate([pixels[one.key][:14_400] for one in members])
                statistics = opened.manifest.splits[split].statistics["B02"]
                assert statistics == band_statistics(np.bincount(blue, minlength=65_536))
    assert sorted(os.listdir(folder.parent)) == ["store"]
    assert ".build" not in os.listdir(folder)


def _write_one(options: StoreOptions, split: str, number: int, count: int) -> bytes:
    with ShardWriter(options, split, number) as shard:
        write(shard, count)
    return pickle.dumps(shard.info)


@pytest.mark.long
@pytest.mark.parametrize(("store_format", "codec"), [("webdataset", "bitpack"), ("zarr", "blosc-lz4")])
def test_processes_write_the_bytes_of_one(tmp_path: Path, store_format: Any, codec: str) -> None:
    """A store depends on which process has written which shard."""
    plan = [("train", 0, 3), ("train", 1, 2), ("test", 0, 1)]
    with StoreWriter(tmp_path / "one", format=store_format, codec=codec, patches_per_shard=3, seed=4) as store:
        for split, number, count in plan:
            with store.shard(split, number) as shard:
                write(shard, count)
    options = StoreOptions(tmp_path / "two", store_format, codec, 3)
    options.work.mkdir(parents=True)
    # Not a Pool, which waits for ever for a process that was killed.
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        waiting = [pool.submit(_write_one, options, *one) for one in plan]
        found = [pickle.loads(one.result(timeout=120)) for one in waiting]
    assert all(isinstance(one, ShardInfo) for one in found)
    assert max(map(len, map(pickle.dumps, found))) < 1000
    finish_store(options, found, source_version="v2", seed=4, source_bytes=0, left_out={})
    two = {name: content for name, content in contents(options.folder).items() if not name.startswith(".build/")}
    assert contents(tmp_path / "one") == two


def test_a_store_appears_when_it_is_whole(tmp_path: Path) -> None:
    """A store opens before it is finished, or a shard is there before it is."""
    with StoreWriter(tmp_path / "s", patches_per_shard=2) as store:
        with store.shard("train", 0) as shard:
            write(shard, 2)
            assert not list(tmp_path.rglob("*.tar"))
        assert (tmp_path / "s" / "train-00000.tar").is_file()
        assert shard.info is not None
        assert shard.info.count == 2
        with pytest.raises(UnfinishedStore):
            shards.open(tmp_path / "s")
        with pytest.raises(InvalidValue, match="is not empty"), StoreWriter(tmp_path / "s"):
            pass
        with pytest.raises(InvalidValue, match="train-00000 is written already"):
            store.shard("train", 0)
    with shards.open(tmp_path / "s") as opened:
        assert len(opened) == 2


class Stop(Exception):
    """Ends a block."""


@contextmanager
def stopped() -> Iterator[None]:
    """Run a block, end it with an error, and tell that this error came out of it."""
    try:
        yield
    except Stop:
        return
    raise AssertionError("the block swallowed an error")


@pytest.mark.parametrize("store_format", ["webdataset", "zarr"])
def test_a_block_that_fails_leaves_nothing(tmp_path: Path, store_format: Any) -> None:
    """Half of a shard or of a store stays behind after an error, and looks like a whole one."""
    folder = tmp_path / "s"
    with stopped(), StoreWriter(folder, format=store_format, patches_per_shard=2) as store:
        with store.shard("train", 0) as shard:
            write(shard, 2)
        before = contents(folder)
        with stopped(), store.shard("train", 1) as failed:
            write(failed, 1)
            raise Stop
        with store.shard("train", 1) as discarded:
            write(discarded, 1)
            discarded.discard()
        assert failed.info is discarded.info is None
        assert contents(folder) == before
        with pytest.raises(InvalidValue, match="shard test-00000 holds no patch"), store.shard("test", 0):
            pass
        assert contents(folder) == before
        raise Stop
    assert list(folder.iterdir()) == []


def _write_shards(folder: Path, store_format: Any, *numbers: int) -> None:
    """Write a store of shards of one patch, where two would be full."""
    with StoreWriter(folder, format=store_format, patches_per_shard=2) as store:
        for number in numbers:
            with store.shard("train", number) as shard:
                write(shard, 1, number)


@pytest.mark.parametrize("store_format", ["webdataset", "zarr"])
def test_only_the_last_shard_of_a_split_may_be_smaller(tmp_path: Path, store_format: Any) -> None:
    """Patches of a Zarr store lie at other places of the arrays than their shards say, or half a store stays behind."""
    with pytest.raises(InvalidValue, match="train-00000 holds 1 patches, expected 2; only the last shard"):
        _write_shards(tmp_path, store_format, 0, 1)
    with pytest.raises(InvalidValue, match="lacks shard train-00000; it has train-00001"):
        _write_shards(tmp_path, store_format, 1)
    with pytest.raises(InvalidValue, match="has no shard"):
        _write_shards(tmp_path, store_format)
    assert list(tmp_path.iterdir()) == []
    _write_shards(tmp_path, store_format, 0)
    assert (tmp_path / "manifest.json").exists()


def test_what_no_shard_can_hold_is_refused(tmp_path: Path) -> None:
    """A patch of another split, shape or name, or one too many, makes a store that does not open."""
    with StoreWriter(tmp_path / "s", patches_per_shard=2) as store:
        for split, number in (("dev", 0), ("train", -1)):
            with pytest.raises(InvalidValue, match="expected 0 or more of one of train, validation, test"):
                store.shard(split, number)
        with store.shard("train", 0) as shard:
            shard.add(patch("a"), RECORD)
            for wrong, record, message in (
                (patch("b", "test"), RECORD, "is of split test, expected train"),
                (patch("a"), RECORD, "patch a was added to shard train-00000 before"),
                (patch("../b"), RECORD, "expected 1 to 92 letters"),
                (patch("b" * 93), RECORD, "expected 1 to 92 letters"),
                (patch("b"), RECORD[:-1], r"uint16 of shape \(79999,\), expected uint16 of shape \(80000,\)"),
                (patch("b"), RECORD.astype(np.float32), "is float32 of shape"),
            ):
                with pytest.raises(InvalidValue, match=message):
                    shard.add(wrong, record)
            shard.add(patch("b"), RECORD)
            with pytest.raises(InvalidValue, match="holds 2 patches and is full"):
                shard.add(patch("c"), RECORD)
    with shards.open(tmp_path / "s") as opened:
        assert opened.index.table["key"].to_pylist() == ["a", "b"]
        assert all(np.array_equal(opened.read(row, verify=True).s2, RECORD) for row in range(2))
    with pytest.raises(InvalidValue, match="a zarr store has no codec 'bitpack'; expected one of blosc-lz4, "):
        StoreWriter(tmp_path / "t", format="zarr", codec="bitpack")
    with pytest.raises(InvalidValue, match="patches_per_shard is 0, expected 1 or more"):
        StoreWriter(tmp_path / "t", patches_per_shard=0)


def test_a_shard_says_what_it_was_made_of(tmp_path: Path) -> None:
    """The note of a build on the origin of a shard is lost, and no build can resume."""
    options = StoreOptions(tmp_path / "s", "webdataset", "raw", 2)
    with pytest.raises(FileNotFoundError, match="the folder was removed"), ShardWriter(options, "train", 0):
        pass
    options.work.mkdir(parents=True)
    with ShardWriter(options, "train", 0) as shard:
        write(shard, 2)
        shard.made_of = {"plan": "x", "bytes": 3}
    note = json.loads((options.work / "train-00000.json").read_bytes())["note"]
    assert (note["plan"], note["bytes"], note["shard"]["count"]) == ("x", 3, 2)


@pytest.mark.parametrize("name", [".build/lock", "thesis.tex"])
def test_the_folder_of_another_is_left_alone(tmp_path: Path, name: str) -> None:
    """A writer takes, or clears, a folder in which another build is at work, or that holds something else."""
    path = tmp_path / "s" / name
    path.parent.mkdir(parents=True)
    path.touch()
    with pytest.raises(InvalidValue, match="is not empty; name a new folder"), StoreWriter(tmp_path / "s"):
        pass
    assert path.exists()
