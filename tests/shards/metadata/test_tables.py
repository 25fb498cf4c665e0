"""Files of tables: how they are written, which are refused, and the types of their columns."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shards.errors import CorruptShard
from shards.metadata.index import cast_table, read_table, write_table
from tests.shards.metadata.columns import LIMIT, put


def test_tables_that_cannot_be_read(tmp_path: Path) -> None:
    """A file that is no table ends in a traceback, or holds other rows or columns than it should."""
    path = tmp_path / "t.parquet"
    with pytest.raises(CorruptShard, match=r"t\.parquet is absent$"):
        read_table(path)
    path.mkdir()
    with pytest.raises(CorruptShard, match=r"t\.parquet cannot be read: it is a folder"):
        read_table(path)
    path.rmdir()
    path.write_bytes(b"no table")
    with pytest.raises(CorruptShard, match=r"t\.parquet is not readable as Parquet: Parquet") as caught:
        read_table(path)
    assert "\n" not in str(caught.value)
    write_table(pa.table({"a": [1, 2], "b": [3, 4], "c": [5, 6]}), path)
    assert read_table(path).column_names == ["a", "b", "c"]
    assert read_table(path, columns=["b", "a"], optional=["d", "c"]).column_names == ["b", "a", "c"]
    assert read_table(path, path.read_bytes(), rows=range(2, 3)).to_pydict() == {"a": [1, 2], "b": [3, 4], "c": [5, 6]}
    assert read_table(path, rows=range(3)).num_rows == 2
    with pytest.raises(CorruptShard, match=r"has 2 rows, expected 0 … 1$"):
        read_table(path, rows=range(2))
    with pytest.raises(CorruptShard, match=r"has 2 rows, expected 3 … 8$"):
        read_table(path, rows=range(3, 9))
    with pytest.raises(CorruptShard, match=r"has 2 rows, expected 3 as in manifest\.json$"):
        read_table(path, rows=range(3, 4))
    with pytest.raises(CorruptShard, match=r"t\.parquet lacks the columns d, e$"):
        read_table(path, columns=["a", "d", "e"])
    content = bytearray(path.read_bytes())
    content[4:40] = bytes(36)
    with pytest.raises(CorruptShard, match="is not readable as Parquet"):
        read_table(path, bytes(content))


def unpacking_to(size: int, path: Path) -> None:
    """Write a table of one row whose columns have that many bytes when they are unpacked."""
    length = size - 100
    for _ in range(3):
        text = pa.array([b"a" * length], pa.large_binary())
        pq.write_table(pa.table({"a": text}), path, compression="zstd", use_dictionary=False, write_statistics=False)
        found = pq.ParquetFile(path).metadata.row_group(0).total_byte_size
        length += size - found
    assert found == size


def test_tables_that_unpack_to_more_than_they_could_hold(tmp_path: Path) -> None:
    """A file of kilobytes fills the memory, or the largest possible table is refused."""
    path = tmp_path / "t.parquet"
    unpacking_to(LIMIT + 512, path)
    assert path.stat().st_size < 100_000
    assert read_table(path).num_rows == 1
    unpacking_to(LIMIT + 513, path)
    with pytest.raises(CorruptShard, match=f"unpacks to {LIMIT + 513} bytes, too many for 1 rows"):
        read_table(path)


def test_large_tables_are_read(tmp_path: Path) -> None:
    """The limit is a fixed number, or less for a larger table."""
    write_table(pa.table({"a": np.arange(32_768)}), tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet").num_rows == 32_768


def test_equal_tables_are_equal_files(tmp_path: Path) -> None:
    """A store that is built again differs from the first, or its tables are larger than they need be."""
    table = pa.table({"a": np.arange(200_000) // 1000})
    for name in ("a", "b"):
        write_table(table, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    metadata = pq.ParquetFile(tmp_path / "a").metadata
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [65_536] * 3 + [3_392]
    assert metadata.row_group(0).column(0).compression == "ZSTD"


def test_values_become_the_wanted_types_without_loss() -> None:
    """A column of another type is believed although its values change, or an absent value is read as a number."""
    path = Path("t.parquet")
    wanted = pa.schema([pa.field("b", pa.int16(), nullable=False), pa.field("a", pa.string())])
    table = pa.table(
        {"c": [0.5, 0.5], "a": pa.array(["x", None], pa.large_string()), "b": pa.array([7, 8], pa.int64())}
    )
    found = cast_table(path, table, wanted)
    assert found.to_pydict() == {"b": [7, 8], "a": ["x", None]}
    assert [field.type for field in found.schema] == [pa.int16(), pa.string()]
    for values in (pa.array([7, 2**20]), pa.array(["a", "b"]), pa.array([0.5, 1.0])):
        with pytest.raises(CorruptShard, match=r"^t\.parquet has columns of other types than expected: ") as caught:
            cast_table(path, put(table, "b", values), wanted)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) <= 300
    with pytest.raises(CorruptShard, match="has columns of other types"):
        cast_table(path, put(table, "a", pa.array([b"\xff", b"a"])), wanted)
    with pytest.raises(CorruptShard, match=r"^t\.parquet lacks 1 values of b, expected none$"):
        cast_table(path, put(table, "b", pa.array([None, 1])), wanted)
    # What Arrow says is one line of 200 characters at most.
    long = put(table, "b", pa.array(["x" * 900 + "\nsecond", "1"]))
    with pytest.raises(CorruptShard, match=r"^[^\n]{200,260}$"):
        cast_table(path, long, wanted)
