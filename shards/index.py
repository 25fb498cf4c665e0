"""`index.parquet`: one row a patch over all shards, columnar, read once.

Rows are ordered by split (train, validation, test), shard and position, so a row number is a patch's place in the
store. The stored parts of a patch (one record in a tar, one inner chunk in each of three Zarr arrays) have a byte
range and a CRC-32C each, in the columns `<part>_offset`, `<part>_length` and `<part>_crc32c`.
"""

import hashlib
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from shards.arrow import dictionary_array, numpy_values
from shards.bands import B10, B20, B60, RECORD_VALUES
from shards.classes import multi_hot
from shards.durable import atomic_write
from shards.errors import CorruptShard
from shards.manifest import INDEX, MANIFEST, Manifest

PARTS: Final[dict[str, dict[str, slice]]] = {
    "webdataset": {"s2": slice(0, RECORD_VALUES)},
    "zarr": {group.name: group.slice for group in (B10, B20, B60)},
}
"""Stored parts of a patch by store format, with the values of the record that each holds."""

ADDED: Final = ("baseline", "nodata_pixels")
"""Columns that stores of the first version lack; they read as null."""

_DICTIONARY: Final = pa.dictionary(pa.int32(), pa.string())


def index_schema(store_format: str) -> pa.Schema:
    """Return the columns of the index of a store of that format."""
    fields = [
        ("key", pa.string()),
        ("split", _DICTIONARY),
        ("shard", _DICTIONARY),
        ("position", pa.int32()),
    ]
    for part in PARTS[store_format]:
        fields += [(f"{part}_offset", pa.int64()), (f"{part}_length", pa.int32()), (f"{part}_crc32c", pa.uint32())]
    fields += [
        ("label_mask", pa.uint32()),
        ("country", _DICTIONARY),
        ("date", pa.timestamp("s")),
        ("epsg", pa.int32()),
        ("ulx", pa.float64()),
        ("uly", pa.float64()),
        ("seasonal_snow", pa.bool_()),
        ("cloud_or_shadow", pa.bool_()),
        ("baseline", pa.int16()),
        ("nodata_pixels", pa.int32()),
    ]
    return pa.schema(fields)


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table as Parquet, whole or not at all; equal tables give equal bytes."""
    with atomic_write(path) as file:
        pq.write_table(table, file, compression="zstd", row_group_size=1 << 16)


def read_table(path: Path, content: bytes | None = None) -> pa.Table:
    """Read a Parquet file of a store, or its content where that is at hand.

    Raises:
        CorruptShard: it is absent or no Parquet file.
    """
    try:
        return pq.ParquetFile(path if content is None else pa.BufferReader(content)).read()
    except FileNotFoundError:
        raise CorruptShard(f"{path} is absent") from None
    except (pa.ArrowException, OSError) as err:
        raise CorruptShard(f"{path} is not readable as Parquet: {err}") from err


class Index:
    """The index in memory: Arrow columns, and NumPy arrays of those that the reader uses.

    Attributes:
        table: all columns, as `index_schema` names them.
    """

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    @classmethod
    def read(cls, folder: Path, manifest: Manifest) -> "Index":
        """Read the index of a store.

        Raises:
            CorruptShard: the file is absent or differs from its checksum in the manifest, or lacks a column or rows.
        """
        path = folder / INDEX
        expected = next((info.sha256 for info in manifest.files if info.path == INDEX), None)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise CorruptShard(f"{path} is absent") from None
        # A flipped bit in here could name another place, or other labels, without any other check to find it.
        if (found := hashlib.sha256(content).hexdigest()) != expected:
            raise CorruptShard(f"{path} has SHA-256 {found}, expected {expected} as in {MANIFEST}")
        table = read_table(path, content)
        wanted = index_schema(manifest.format)
        for name in ADDED:
            if name not in table.column_names:
                table = table.append_column(name, pa.nulls(table.num_rows, wanted.field(name).type))
        missing = [name for name in wanted.names if name not in table.column_names]
        if missing:
            raise CorruptShard(f"{path} lacks the columns {', '.join(missing)}")
        if table.num_rows != manifest.count:
            raise CorruptShard(f"{path} has {table.num_rows} rows, expected {manifest.count} as in {MANIFEST}")
        return cls(table.select(wanted.names).cast(wanted).unify_dictionaries().combine_chunks())

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def column(self, name: str) -> NDArray[Any]:
        """Return a numeric column as an array of shape (patches,), without a copy."""
        return numpy_values(self.table[name])

    def codes(self, name: str) -> tuple[NDArray[np.int32], list[str]]:
        """Return a text column as (codes, values): row i holds `values[codes[i]]`; -1 stands for null."""
        column = self.table[name].combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = column.chunk(0) if column.num_chunks else dictionary_array([])
        codes = numpy_values(column.indices, null=-1)
        return codes, column.dictionary.to_pylist()

    def rows(self, split: str) -> NDArray[np.int64]:
        """Return the row numbers of a split in ascending order; none for an absent split."""
        codes, values = self.codes("split")
        if split not in values:
            return np.empty(0, np.int64)
        return np.flatnonzero(codes == values.index(split)).astype(np.int64, copy=False)

    def labels(self) -> NDArray[np.uint8]:
        """Return the labels of all patches, multi-hot, (patches, 19) uint8."""
        return multi_hot(self.column("label_mask").astype(np.uint32, copy=False))

    def key(self, row: int) -> str:
        """Return the patch name of a row."""
        key: str = self.table["key"][row].as_py()
        return key
