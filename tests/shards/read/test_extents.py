"""Locations of parts of patches, against the index itself and against the files."""

from pathlib import Path

import numpy as np
import pytest
from crc32c import crc32c

import shards
from shards.layout.record import RecordGroup
from shards.metadata.manifest import StoreFormat
from shards.read.extents import Extents, files_of
from shards.testing.stores import make_store

PARTS = {"webdataset": ("s2",), "zarr": ("b10", "b20", "b60")}
BYTES = {"webdataset": ([0], [160_000]), "zarr": ([0, 115_200, 158_400], [115_200, 158_400, 160_000])}


@pytest.fixture(scope="module", params=["webdataset", "zarr"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> shards.Store:
    """Seven patches in five shards."""
    folder = tmp_path_factory.mktemp("extents") / request.param
    make_store(folder, {"train": 5, "test": 2}, format=request.param, patches_per_shard=2)
    return shards.open(folder)


@pytest.fixture(scope="module")
def extents(store: shards.Store) -> Extents:
    return Extents.of(store.manifest, store.index)


def test_each_part_lies_where_the_index_says(store: shards.Store, extents: Extents) -> None:
    """Parts of one patch are taken for those of another, or looked for in another file."""
    files, names = files_of(store.manifest), PARTS[store.manifest.format]
    assert extents.parts == len(names)
    assert (extents.begin.tolist(), extents.end.tolist()) == BYTES[store.manifest.format]
    assert len(extents.file) == len(extents.offset) == len(extents.length) == 7 * len(names)
    for row in range(7):
        ranges = extents.ranges(np.array([row]))
        assert ranges.length.dtype == np.int64
        shard = store.index.table["shard"][row].as_py()
        for i, part in enumerate(names):
            number, file, offset, length = ranges.one(i)
            assert number == row * len(names) + i
            assert (offset, length) == tuple(store.index.column(f"{part}_{what}")[row] for what in ("offset", "length"))
            path = files[file].name
            info = next(shard_info for shard_info in store.manifest.shards if shard_info.name == shard).files[i]
            assert (path, files[file].size_bytes) == (info.path, info.size_bytes)
            content = (store.folder / path).read_bytes()[offset : offset + length]
            assert crc32c(content) == extents.crc32c[number]


def test_rows_of_several_patches(store: shards.Store, extents: Extents) -> None:
    """Rows are sorted, repeated rows are dropped, or shards are counted by files."""
    rows, n = np.array([6, 0, 6, 3]), extents.parts
    assert extents.numbers(rows).tolist() == [row * n + i for row in rows.tolist() for i in range(n)]
    assert extents.shard(rows).tolist() == [3, 0, 3, 1]
    assert extents.shard(rows).dtype == np.int32
    assert extents.file.dtype == np.int32


@pytest.mark.parametrize("given", [[0, 6], np.array([3], np.uint8), [], np.array([], np.float64)])
def test_rows_that_are_taken(extents: Extents, given: object) -> None:
    """Small types overflow, or no rows at all are refused for their type."""
    rows = extents.rows(given)
    assert rows.dtype == np.int64
    assert rows.tolist() == np.asarray(given).tolist()


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ([-1, 2], IndexError, "rows -1 to 2 of a store of 7"),
        ([0, 7], IndexError, "rows 0 to 7 of a store of 7"),
        ([0.0], shards.InvalidValue, r"rows are \[0.0\] \(float64 of shape \(1,\)\), expected integers"),
        ([True], shards.InvalidValue, r"rows are \[True\] \(bool of shape \(1,\)\), expected integers"),
    ],
)
def test_rows_that_are_refused(extents: Extents, given: object, error: type[Exception], text: str) -> None:
    """A row that is not there is read at another place."""
    with pytest.raises(error, match=text):
        extents.rows(given)


@pytest.mark.parametrize("kind", ["webdataset", "zarr"])
def test_a_further_group_is_found_by_its_name(kind: StoreFormat, tmp_path: Path) -> None:
    """A group is looked for at the place of another, or has the size of another."""
    groups = [RecordGroup(name, 240, tuple("ABC"[:count])) for name, count in (("b", 2), ("a", 1), ("c", 3))]
    folder = make_store(tmp_path / "store", {"train": 3}, format=kind, patches_per_shard=2, extras=groups)
    with shards.open(folder) as store:
        whole = Extents.of(store.manifest, store.index)
        stride, files = len(PARTS[kind]) + 3, files_of(store.manifest)
        for first, group in enumerate(groups, len(PARTS[kind])):
            extents = whole.of_group(store.manifest, group.name)
            assert (extents.name, extents.parts, extents.stride) == (group.name, 1, stride)
            assert (extents.begin.tolist(), extents.end.tolist()) == ([0], [group.bytes])
            assert extents.numbers(np.array([2, 0])).tolist() == [2 * stride + first, first]
            assert extents.rows([0, 2]).tolist() == [0, 2]
            with pytest.raises(IndexError, match="rows 3 to 3 of a store of 3"):
                extents.rows([3])
            ranges = extents.ranges(np.array([1, 2]))
            assert ranges.offset.tolist() == store.index.column(f"{group.name}_offset")[1:].tolist()
            assert ranges.length.tolist() == store.index.column(f"{group.name}_length")[1:].tolist()
            assert [files[i].name for i in ranges.file.tolist()] == [
                shard.files[0 if kind == "webdataset" else first].path for shard in store.manifest.shards
            ]
            assert extents.shard(np.arange(3)).tolist() == [0, 0, 1]
        # The record is still what it was.
        assert (whole.name, whole.first, whole.parts) == ("s2", 0, len(PARTS[kind]))
        with pytest.raises(AttributeError):
            whole.first = 1  # type: ignore[misc]
