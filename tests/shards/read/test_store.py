"""Reading stores, sound and damaged ones."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import shards
from shards.errors import InvalidValue
from shards.layout.bands import RECORD_VALUES
from shards.metadata.manifest import BUILD_NOTE
from tests.support.data import faults
from tests.support.running.descriptors import opened_files, opened_since


@pytest.fixture(params=["tar_store", "zarr_store", "packed_store", "raw_store"])
def store(request: pytest.FixtureRequest) -> Path:
    """Each kind of store."""
    path: Path = request.getfixturevalue(request.param)
    return path


def read_all(folder: Path, **options: object) -> np.ndarray:
    with shards.open(folder) as store:
        out = np.empty((len(store), RECORD_VALUES), np.uint16)
        return store.read_into(np.arange(len(store)), out, **options)


def test_tar_and_zarr_hold_the_same(tar_store: Path, zarr_store: Path) -> None:
    """The two formats differ in order, pixels or facts."""
    np.testing.assert_array_equal(read_all(tar_store), read_all(zarr_store))
    with shards.open(tar_store) as tar, shards.open(zarr_store) as zarr:
        shared = [name for name in tar.index.table.column_names if "_" not in name or not name.startswith(("s2", "b"))]
        assert tar.index.table.select(shared).equals(zarr.index.table.select(shared))
        assert tar.manifest.splits == zarr.manifest.splits


def test_read_into_equals_read_for_any_threads(store: Path) -> None:
    """Threads put records into the wrong rows."""
    rows = np.random.default_rng(3).integers(0, 300, 97)
    for num_threads in (1, 2, 5):
        with shards.open(store, num_threads=num_threads) as opened:
            out = opened.read_into(rows, np.zeros((97, RECORD_VALUES), np.uint16), verify=True)
            for row, record in zip(rows.tolist(), out, strict=True):
                np.testing.assert_array_equal(record, opened.read(row).s2)
            assert opened.read_into([], np.empty((0, RECORD_VALUES), np.uint16)).shape == (0, RECORD_VALUES)


def test_wrong_arguments_are_refused(store: Path) -> None:
    """A wrong output array or row number writes somewhere, or reads another patch."""
    with shards.open(store) as opened:
        good = np.empty((2, RECORD_VALUES), np.uint16)
        for out in (good[:1], good.astype(np.int32), np.empty((RECORD_VALUES, 2), np.uint16).T):
            with pytest.raises(ValueError, match="expected C-contiguous uint16"):
                opened.read_into([0, 1], out)
        for rows in ([0, 300], [-1, 0]):
            with pytest.raises(IndexError):
                opened.read_into(rows, good)
        with pytest.raises(IndexError):
            opened.read(300)
        np.testing.assert_array_equal(opened.read(-1).s2, opened.read(299).s2)


def test_splits_shards_and_labels_fit_together(store: Path) -> None:
    """Rows of a split, labels or counts of the manifest are not those of the index."""
    with shards.open(store) as opened:
        labels = opened.index.labels()
        for split, info in opened.manifest.splits.items():
            rows = opened.index.rows(split)
            assert len(rows) == info.count
            assert labels[rows].sum(axis=0).tolist() == list(info.class_counts.values())
            for row in rows[::17].tolist():
                patch = opened.read(row)
                assert patch.split == split
                assert [shards.CLASSES[i] for i in np.flatnonzero(labels[row])] == list(patch.labels)
        with pytest.raises(InvalidValue, match="there is no split 'holdout', expected one of train, validation, test"):
            opened.index.rows("holdout")


def test_every_flipped_bit_is_found(store: Path, tmp_path: Path) -> None:
    """A damaged record reaches training as wrong pixels although checks were asked for."""
    damaged = faults.copy(store, tmp_path / "damaged")
    rng = np.random.default_rng(11)
    with shards.open(damaged) as opened:
        parts = ["s2"] if opened.manifest.format == "webdataset" else ["b10", "b20", "b60"]
        for row in rng.integers(0, len(opened), 40).tolist():
            part = parts[row % len(parts)]
            name = opened.index.table["shard"][row].as_py()
            shard = next(shard for shard in opened.manifest.shards if shard.name == name)
            path = damaged / shard.files[parts.index(part)].path
            offset = int(opened.index.column(f"{part}_offset")[row])
            offset += int(rng.integers(int(opened.index.column(f"{part}_length")[row])))
            bit = int(rng.integers(8))
            faults.flip_bit(path, offset, bit)
            with pytest.raises(shards.CorruptShard) as caught:
                opened.read(row, verify=True)
            assert str(path) in str(caught.value)
            assert opened.index.key(row) in str(caught.value)
            assert "expected" in str(caught.value)
            faults.flip_bit(path, offset, bit)
            opened.read(row, verify=True)


def test_a_shortened_or_absent_shard_is_an_error(store: Path, tmp_path: Path) -> None:
    """A shard that was not copied whole is read up to where it ends."""
    damaged = faults.copy(store, tmp_path / "damaged")
    with shards.open(damaged) as opened:
        path = damaged / opened.manifest.shards[0].files[0].path
        size = path.stat().st_size
        opened.read(0)
        faults.truncate(path, 600)  # While it is open: what was there when it was opened is gone.
        with pytest.raises(shards.CorruptShard, match=f"{path.name}.* ends after"):
            opened.read(1 if opened.index.column("position")[0] == 0 else 0)
    with shards.open(damaged) as opened, pytest.raises(shards.CorruptShard, match=f"600 bytes, expected {size}"):
        opened.read(0)
    path.unlink()
    with shards.open(damaged) as opened, pytest.raises(shards.CorruptShard, match="is absent"):
        opened.read(0)


def test_an_unfinished_or_foreign_folder_is_refused(store: Path, tmp_path: Path) -> None:
    """A build that has not finished is trained on."""
    with pytest.raises(shards.UnfinishedStore, match="not a shard store"):
        shards.open(tmp_path)
    unfinished = faults.copy(store, tmp_path / "unfinished")
    (unfinished / "manifest.json").rename(unfinished / BUILD_NOTE)
    with pytest.raises(shards.UnfinishedStore, match="has not finished"):
        shards.open(unfinished)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 2}, "format version 2"),
        ({"bands": ["B02"]}, "has bands B02"),
        ({"classes": list(reversed(shards.CLASSES))}, "another order"),
        ({"count": 299}, "it counts 299 patches, but its shards hold 300"),
        ({"count": 12_000_000}, "it counts 12000000 patches, but its shards hold 300"),
        ({"splits": {}}, "split test is missing, the index has 75 patches of it"),
        ({"shards": []}, "it counts 300 patches, but its shards hold 0"),
        ({"shards": 3}, "not a manifest"),
        ({"codec": "lz5"}, "no codec 'lz5'"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(
    store: Path, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    """Bands, classes or counts of another kind of store are taken for ours."""
    damaged = faults.copy(store, tmp_path / "damaged")
    faults.edit_manifest(damaged, lambda raw: raw.update(change))
    with pytest.raises((shards.ShardError, ValueError), match=message):
        shards.open(damaged)


def test_an_index_of_other_shards_is_refused(store: Path, tmp_path: Path) -> None:
    """Rows are looked for in a shard that there is not."""
    damaged = faults.copy(store, tmp_path / "damaged")
    faults.edit_manifest(damaged, lambda raw: raw["shards"][0].update(name="train-99999"))
    with pytest.raises(shards.CorruptShard, match="which the manifest does not list"):
        shards.open(damaged)


def test_damaged_manifest_or_index_is_one_clear_error(store: Path, tmp_path: Path) -> None:
    """A cut-off manifest or index ends in a traceback of a parser."""
    for name in ("manifest.json", "index.parquet"):
        damaged = faults.copy(store, tmp_path / name)
        faults.truncate(damaged / name, (damaged / name).stat().st_size // 2)
        with pytest.raises(shards.CorruptShard, match=name):
            shards.open(damaged)


def test_closing_frees_files_and_threads(store: Path) -> None:
    """Opening stores again and again exhausts file descriptors."""
    read_all(store)
    before = opened_files()
    for _ in range(3):
        read_all(store)
    assert opened_since(before) == {}


def test_any_flipped_bit_in_the_index_is_found(store: Path, tmp_path: Path) -> None:
    """A damaged index gives other labels or places, or a traceback of a parser."""
    damaged = faults.copy(store, tmp_path / "damaged")
    size = (damaged / "index.parquet").stat().st_size
    for offset in np.random.default_rng(2).integers(0, size, 25).tolist():
        faults.flip_bit(damaged / "index.parquet", offset)
        with pytest.raises(shards.CorruptShard, match=r"index\.parquet has SHA-256"):
            shards.open(damaged)
        faults.flip_bit(damaged / "index.parquet", offset)
    shards.open(damaged).close()


@pytest.mark.parametrize("rows", [[0.5], [True], ["0"]])
def test_rows_that_are_no_numbers_of_rows_are_refused(tar_store: Path, rows: object) -> None:
    """A share, a mask or a text is cut to a row that nobody meant."""
    with shards.open(tar_store) as store, pytest.raises(shards.InvalidValue, match="expected integers"):
        store.read_into(rows, np.empty((1, shards.RECORD_VALUES), np.uint16))  # type: ignore[arg-type]


def test_rows_beyond_any_are_out_of_range(tar_store: Path) -> None:
    """A row of 2^63 wraps round to a negative one."""
    with shards.open(tar_store) as store, pytest.raises(IndexError, match="9223372036854775808"):
        store.read_into(np.array([2**63], np.uint64), np.empty((1, shards.RECORD_VALUES), np.uint16))


def test_opening_starts_no_thread(tar_store: Path) -> None:
    """A thread of Arrow that releases the index's bytes while Python ends aborts the process after an early error."""
    script = (
        "import os, sys, shards\n"
        "before = len(os.listdir('/proc/self/task'))\n"
        "store = shards.open(sys.argv[1])\n"
        "assert len(os.listdir('/proc/self/task')) == before\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tar_store)], check=True, timeout=120)
