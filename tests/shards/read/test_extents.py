"""Locations of parts of patches, against the index itself and against the files."""

import numpy as np
import pytest
from crc32c import crc32c

import shards
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
        ([0.0], shards.InvalidValue, "rows are of type float64, expected integers"),
        ([True], shards.InvalidValue, "rows are of type bool, expected integers"),
    ],
)
def test_rows_that_are_refused(extents: Extents, given: object, error: type[Exception], text: str) -> None:
    """A row that is not there is read at another place."""
    with pytest.raises(error, match=text):
        extents.rows(given)
