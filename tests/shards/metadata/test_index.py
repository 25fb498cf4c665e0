"""The index of a store: its columns, what the reader takes of it, and what is refused."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shards.errors import CorruptShard
from shards.layout.bands import LAYOUT
from shards.layout.classes import CLASSES
from shards.layout.facts import ADDED, TEXTS, Facts
from shards.layout.record import RecordGroup
from shards.metadata.index import Index, Place, index_schema, write_table
from shards.metadata.index_rows import IndexRows
from shards.metadata.manifest import INDEX, Manifest
from shards.testing.stores import make_store, shuffled_keys
from tests.shards.metadata.columns import LIMIT
from tests.support.data import faults

COUNTS = {"train": 5, "test": 2}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five patches for training in three shards, and two for a test; every third is of no known country."""
    folder = tmp_path_factory.mktemp("index") / "store"
    return make_store(folder, COUNTS, patches_per_shard=2, countries=("Ireland", "Serbia", None))


@pytest.fixture(scope="module")
def manifest(small: Path) -> Manifest:
    return Manifest.read(small)


@pytest.fixture(scope="module")
def index(small: Path, manifest: Manifest) -> Index:
    return Index.read(small, manifest)


def with_index(manifest: Manifest, **changes: object) -> Manifest:
    """Return a manifest that says something else of the index."""
    files = [replace(info, **changes) if info.path == INDEX else info for info in manifest.files]  # type: ignore[arg-type]
    return replace(manifest, files=tuple(files))


def described(manifest: Manifest, folder: Path) -> Manifest:
    """Return a manifest with size and checksum of the index as it is."""
    content = (folder / INDEX).read_bytes()
    return with_index(manifest, size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


# Columns.


@pytest.mark.parametrize(
    ("kind", "groups", "parts"),
    [
        ("webdataset", (), ["s2"]),
        ("zarr", (), ["b10", "b20", "b60"]),
        ("webdataset", (RecordGroup("s1", 100, ("VV",)),), ["s2", "s1"]),
        ("zarr", (RecordGroup("s1", 100, ("VV",)),), ["b10", "b20", "b60", "s1"]),
    ],
)
def test_columns_of_the_index(kind: str, groups: Sequence[RecordGroup], parts: list[str]) -> None:
    """A column has another name, type or place, so that another reader does not find it."""
    schema = index_schema(kind, LAYOUT.with_groups(groups))
    places = [(f"{part}_{name}", kind) for part in parts for name, kind in
              (("offset", pa.int64()), ("length", pa.int32()), ("crc32c", pa.uint32()))]  # fmt: skip
    begin = [("key", pa.string()), ("split", TEXTS), ("shard", TEXTS), ("position", pa.int32()), *places]
    assert [(field.name, field.type) for field in schema][: len(begin)] == begin
    assert schema.names[len(begin) :] == [
        "label_mask", "country", "date", "epsg", "ulx", "uly", "seasonal_snow", "cloud_or_shadow", "baseline",
        "nodata_pixels",
    ]  # fmt: skip


def test_rows_of_a_shard_are_gathered_in_order(index: Index) -> None:
    """Places of one part are written into the columns of another, or positions do not count from 0."""
    rows = IndexRows("zarr", "test-00007")
    assert len(rows) == 0
    facts = [Facts(**index.facts(row)) for row in (3, 1)]
    places = [[Place(10 * i + part, 100 + part, 7 * part) for part in range(3)] for i in range(2)]
    for one, place in zip(facts, places, strict=True):
        rows.add(one, place)
    assert len(rows) == 2
    table = rows.table().to_pydict()
    assert (table["shard"], table["position"]) == (["test-00007"] * 2, [0, 1])
    assert table["key"] == [index.key(3), index.key(1)]
    for number, part in enumerate(("b10", "b20", "b60")):
        for name in Place._fields:
            assert table[f"{part}_{name}"] == [getattr(place[number], name) for place in places]


# What the reader takes of it.


def test_the_reader_gets_what_was_written(index: Index, manifest: Manifest) -> None:
    """Rows are of another patch, split or shard than they say."""
    keys = [*shuffled_keys("train", 5), *shuffled_keys("test", 2)]
    assert len(index) == 7
    assert [index.key(row) for row in range(7)] == keys
    assert index.facts(4) | {"label_mask": 0} == {
        "key": keys[4], "split": "train", "label_mask": 0, "country": "Serbia", "date": datetime(2017, 6, 13),
        "epsg": 32629, "ulx": 600_000.0, "uly": 5_900_000.0, "seasonal_snow": False, "cloud_or_shadow": False,
        "baseline": None, "nodata_pixels": 0, "labels43": None,
    }  # fmt: skip
    assert index.rows("train").tolist() == [0, 1, 2, 3, 4]
    assert index.rows("test").tolist() == [5, 6]
    assert index.rows("validation").tolist() == []
    assert index.rows("test").dtype == index.rows("validation").dtype == np.int64
    numbers = index.shard_numbers(manifest)
    assert (numbers.tolist(), numbers.dtype) == ([0, 0, 1, 1, 2, 3, 3], np.int32)
    masks = index.table["label_mask"].to_pylist()
    assert any(masks)
    assert index.labels().dtype == np.uint8
    assert index.labels().tolist() == [[mask >> i & 1 for i in range(len(CLASSES))] for mask in masks]


def test_numbers_are_not_copied(index: Index) -> None:
    """A column of half a million patches is copied for each use of it."""
    first, second = index.column("s2_offset"), index.column("s2_offset")
    assert first.tolist() == index.table["s2_offset"].to_pylist()
    assert np.shares_memory(first, second)


def test_codes_of_texts(index: Index) -> None:
    """Absent texts are taken for the first one, or a table without rows or of several chunks cannot be read."""
    codes, values = index.codes("country")
    assert codes.dtype == np.int32
    assert [values[code] if code >= 0 else code for code in codes] == ["Ireland", "Serbia", -1] * 2 + ["Ireland"]
    empty = Index(index.table.schema.empty_table())
    codes, values = empty.codes("country")
    assert (codes.tolist(), values) == ([], [])
    assert Index(pa.table({"country": pa.chunked_array([], TEXTS)})).codes("country")[1] == []
    assert empty.rows("train").tolist() == []
    halves = Index(pa.concat_tables([index.table.slice(0, 3), index.table.slice(3)]))
    codes, values = halves.codes("country")
    assert [values[code] if code >= 0 else code for code in codes] == ["Ireland", "Serbia", -1] * 2 + ["Ireland"]


def test_a_shard_that_is_not_listed_is_named(index: Index, manifest: Manifest) -> None:
    """A row is looked for in the last shard, or the wrong shard is named."""
    short = replace(manifest, shards=manifest.shards[:1] + manifest.shards[2:])
    with pytest.raises(CorruptShard, match=r"^index\.parquet names shard 'train-00001', which the manifest does not"):
        index.shard_numbers(short)


def test_the_index_is_one_chunk(small: Path, manifest: Manifest, tmp_path: Path) -> None:
    """An index that another program wrote in pieces has several dictionaries, or copies at every use."""
    table = pq.read_table(small / INDEX)
    folder = faults.copy(small, tmp_path / "store")
    pq.write_table(table, folder / INDEX, row_group_size=2)
    found = Index.read(folder, described(manifest, folder))
    assert all(column.num_chunks == 1 for column in found.table.columns)
    assert found.table.equals(Index.read(small, manifest).table)


@pytest.mark.parametrize("absent", [ADDED, ADDED[:1], ADDED[1:]])
def test_columns_that_old_stores_lack_read_as_null(
    small: Path, manifest: Manifest, tmp_path: Path, absent: tuple[str, ...]
) -> None:
    """A store of the first writer cannot be opened, or one of two such columns is dropped with the other."""
    folder = faults.copy(small, tmp_path / "store")
    whole = pq.read_table(small / INDEX)
    write_table(whole.drop(list(absent)), folder / INDEX)
    found = Index.read(folder, described(manifest, folder)).table
    assert found.schema.names == index_schema("webdataset").names
    for name in ADDED:
        assert found[name].to_pylist() == ([None] * 7 if name in absent else whole[name].to_pylist())
        assert found[name].type == index_schema("webdataset").field(name).type


# What is refused.


def test_an_index_that_is_not_as_the_manifest_says(small: Path, manifest: Manifest, tmp_path: Path) -> None:
    """An index of another store is believed, or the error does not say what is wrong."""
    folder = faults.copy(small, tmp_path / "store")
    path, content = folder / INDEX, (folder / INDEX).read_bytes()
    size = len(content)
    with pytest.raises(CorruptShard, match=r"manifest\.json lists no index\.parquet$"):
        Index.read(folder, replace(manifest, files=tuple(f for f in manifest.files if f.path != INDEX)))
    too_many = LIMIT + 512 * 7 + 1
    with pytest.raises(CorruptShard, match=f"has {too_many} bytes, too many for 7 patches"):
        Index.read(folder, with_index(manifest, size_bytes=too_many))
    with pytest.raises(CorruptShard, match=f"has {size} bytes, expected {too_many - 1} as in manifest.json"):
        Index.read(folder, with_index(manifest, size_bytes=too_many - 1))
    # More bytes than it should have are not read.
    with pytest.raises(CorruptShard, match=r"index\.parquet (cannot be read|has)"):
        Index.read(folder, with_index(manifest, size_bytes=size - 1))
    with pytest.raises(CorruptShard, match=f"expected {size + 1} as in"):
        Index.read(folder, with_index(manifest, size_bytes=size + 1))
    digest = hashlib.sha256(content).hexdigest()
    for wrong in ("0" * 64, "f" * 64):
        with pytest.raises(CorruptShard, match=f"has SHA-256 {digest}, expected {wrong} as in manifest.json"):
            Index.read(folder, with_index(manifest, sha256=wrong))
    with pytest.raises(CorruptShard, match=r"has 7 rows, expected 8 as in manifest\.json"):
        Index.read(folder, replace(manifest, count=8))
    with pytest.raises(CorruptShard, match=r"has 7 rows, expected 6 as in manifest\.json"):
        Index.read(folder, replace(manifest, count=6))
    # The limit grows with the number of patches.
    with pytest.raises(CorruptShard, match=r"has 7 rows, expected 32768 as in manifest\.json"):
        Index.read(folder, replace(manifest, count=32_768))
    path.unlink()
    with pytest.raises(CorruptShard, match=r"index\.parquet is absent$"):
        Index.read(folder, manifest)
    path.mkdir()
    with pytest.raises(CorruptShard, match=r"index\.parquet cannot be read: "):
        Index.read(folder, manifest)
