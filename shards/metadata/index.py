"""`index.parquet`: one row a patch over all shards, columnar, read once.

Rows are ordered by split (train, validation, test), shard and position, so a row number is a patch's place in the
store. The stored parts of a patch (`shards.metadata.parts`) have a byte range and a CRC-32C each, in the columns
`<part>_offset`, `<part>_length` and `<part>_crc32c`.
"""

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from shards.errors import CorruptShard, InvalidValue
from shards.layout.bands import LAYOUT
from shards.layout.classes import NINETEEN, Nomenclature
from shards.layout.facts import ADDED, FIELDS, NAMES, NULLABLE, OPTIONAL, TEXTS
from shards.layout.record import RecordLayout
from shards.metadata.entries import check_split
from shards.metadata.manifest import INDEX, MANIFEST, Manifest
from shards.metadata.parts import parts_of
from shards.reporting import printable, shortened
from shards.runtime.arrow import dictionary_array, numpy_values
from shards.storage.atomic import atomic_write
from shards.storage.base import Storage
from shards.storage.places import storage_of
from shards.storage.safe_open import read_regular
from shards.text.json_fields import shown
from shards.text.kinds import check_kind, row_number
from shards.text.words import counted

_ROW_BYTES: Final = 512
"""Bytes of a row of any table here, at most, packed or not; the index has about 200, and 16 a further group."""
_MIN_BYTES: Final = 16 << 20
_MAX_BYTES: Final = 1 << 30


class Place(NamedTuple):
    """Location of a stored part of a patch in its file: offset and length in bytes, and the CRC-32C of these bytes."""

    offset: int
    length: int
    crc32c: int


_PLACE_TYPES: Final = dict(zip(Place._fields, (pa.int64(), pa.int32(), pa.uint32()), strict=True))


def index_schema(store_format: str, layout: RecordLayout = LAYOUT, optional: Collection[str] = ()) -> pa.Schema:
    """Return the columns of the index of a store of that format and layout, which has these optional ones."""
    columns = {field.name: field.column.type for field in FIELDS if field.name in optional or not field.column.optional}
    places: dict[str, pa.DataType] = {"shard": TEXTS, "position": pa.int32()}
    for part in parts_of(store_format, layout):
        places |= {f"{part.name}_{name}": kind for name, kind in _PLACE_TYPES.items()}
    # The place of a patch follows its name and split.
    return pa.schema({name: columns.pop(name) for name in ("key", "split")} | places | columns)


def _without_nulls(schema: pa.Schema) -> pa.Schema:  # A store that has an optional column has it of every patch.
    return pa.schema([field.with_nullable(field.name in NULLABLE - OPTIONAL) for field in schema])


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table as Parquet, whole or not at all; equal tables give equal bytes."""
    with atomic_write(path) as file:
        pq.write_table(table, file, compression="zstd", row_group_size=1 << 16)


def read_table(
    path: Path,
    content: bytes | None = None,
    *,
    rows: range | None = None,
    columns: list[str] | None = None,
    optional: Sequence[str] = (),
) -> pa.Table:
    """Read a Parquet file of a store, or its content where that is at hand.

    Args:
        path: of the file.
        content: its bytes; default: they are read.
        rows: how many it may have.
        columns: names of those that are read; default: all.
        optional: names of further ones that are read if they are there.

    Raises:
        CorruptShard: it is absent, no Parquet file, lacks a column or has two, or has other rows or too many bytes.
    """
    try:
        content = read_regular(path, _MAX_BYTES) if content is None else content
    except FileNotFoundError:
        raise CorruptShard(f"{path} is absent") from None
    except OSError as err:
        raise CorruptShard(f"{path} cannot be read: {err.strerror}") from err
    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        metadata = file.metadata
        # Asked before anything is read: a file of kilobytes can say that it holds millions of rows.
        if rows is not None and metadata.num_rows not in rows:
            expected = f"{rows[0]} as in {MANIFEST}" if len(rows) == 1 else f"{rows[0]} … {rows[-1]}"
            raise CorruptShard(f"{path} has {metadata.num_rows} rows, expected {expected}")
        size = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
        if not 0 <= size <= _ROW_BYTES * metadata.num_rows + _MIN_BYTES:
            raise CorruptShard(f"{path} unpacks to {size} bytes, too many for {metadata.num_rows} rows")
        names = file.schema_arrow.names
        if missing := [name for name in columns or [] if name not in names]:
            raise CorruptShard(f"{path} lacks the columns {', '.join(missing)}")
        chosen = columns and [*columns, *(name for name in optional if name in names)]
        if twice := [name for name in chosen or names if names.count(name) > 1]:
            raise CorruptShard(f"{path} has two columns {shown(twice[0])}, expected one")
        # A thread of Arrow that releases Python's bytes while the interpreter exits aborts the process.
        return file.read(chosen, use_threads=False)
    except (pa.ArrowException, OSError, ValueError, MemoryError) as err:
        raise CorruptShard(f"{path} is not readable as Parquet: {_first_line(err)}") from err


def cast_table(path: Path, table: pa.Table, wanted: pa.Schema) -> pa.Table:
    """Return a table with these columns, in this order and of these types, whose values are valid.

    Args:
        path: of its file, for errors.
        table: it has at least these columns.
        wanted: names and types; a field that is not nullable must not hold nulls.

    Raises:
        CorruptShard: a column is of a type that does not become the wanted one without loss, or its values are invalid.
    """
    try:
        found = table.select(wanted.names).cast(pa.schema([field.with_nullable(True) for field in wanted]))
        found.validate(full=True)  # Also that texts are UTF-8.
    except (pa.ArrowException, ValueError) as err:
        raise CorruptShard(f"{path} has columns of other types than expected: {_first_line(err)}") from err
    for field in wanted:
        if not field.nullable and found[field.name].null_count:
            raise CorruptShard(f"{path} lacks {found[field.name].null_count} values of {field.name}, expected none")
    return found


def _first_line(err: BaseException) -> str:
    return printable(shortened(str(err).partition("\n")[0], 200))


class Index:
    """The index in memory: Arrow columns, and NumPy arrays of those that the reader uses.

    Attributes:
        table: all columns, as `index_schema` names them.
    """

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    @classmethod
    def read(cls, folder: Path, manifest: Manifest, storage: Storage | None = None) -> "Index":
        """Read the index of a store.

        Args:
            folder: directory of the store.
            manifest: of the store.
            storage: what holds its files, if not the folder.

        Raises:
            CorruptShard: the file is absent or differs from its checksum in the manifest, or lacks a column or rows.
        """
        path = folder / INDEX
        info = next((info for info in manifest.files if info.path == INDEX), None)
        if info is None:
            raise CorruptShard(f"{folder / MANIFEST} lists no {INDEX}")
        if info.size_bytes > _ROW_BYTES * manifest.count + _MIN_BYTES:
            raise CorruptShard(f"{path} has {info.size_bytes} bytes, too many for {manifest.count} patches")
        try:
            content = (storage or storage_of(folder)).read(INDEX, info.size_bytes)
        except FileNotFoundError:
            raise CorruptShard(f"{path} is absent") from None
        except OSError as err:
            raise CorruptShard(f"{path} cannot be read: {err.strerror}") from err
        if len(content) != info.size_bytes:
            raise CorruptShard(f"{path} has {len(content)} bytes, expected {info.size_bytes} as in {MANIFEST}")
        # A flipped bit in here could name another place, or other labels, without any other check to find it.
        if (found := hashlib.sha256(content).hexdigest()) != info.sha256:
            raise CorruptShard(f"{path} has SHA-256 {found}, expected {info.sha256} as in {MANIFEST}")
        wanted = index_schema(manifest.format, manifest.layout, manifest.optional_columns)
        required = [name for name in wanted.names if name not in ADDED]
        rows = range(manifest.count, manifest.count + 1)
        table = read_table(path, content, rows=rows, columns=required, optional=ADDED)
        for name in [name for name in ADDED if name not in table.column_names]:
            table = table.append_column(name, pa.nulls(table.num_rows, wanted.field(name).type))
        return cls(cast_table(path, table, _without_nulls(wanted)).unify_dictionaries().combine_chunks())

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __repr__(self) -> str:
        return f"<Index: {counted(len(self), 'row')} with {', '.join(self.table.column_names)}>"

    def column(self, name: str) -> NDArray[Any]:
        """Return a numeric column as an array of shape (patches,), without a copy.

        Raises:
            InvalidValue: there is no column of that name.
        """
        return numpy_values(self._column(name))

    def codes(self, name: str) -> tuple[NDArray[np.int32], list[str]]:
        """Return a text column as (codes, values): row i holds `values[codes[i]]`; -1 stands for null.

        Raises:
            InvalidValue: there is no column of that name.
        """
        column = self._column(name).combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = column.chunk(0) if column.num_chunks else dictionary_array([])
        codes = numpy_values(column.indices, null=-1)
        return codes, column.dictionary.to_pylist()

    def _column(self, name: str) -> pa.ChunkedArray:
        if name not in self.table.column_names:
            raise InvalidValue(f"the index has no column {name!r:.60}; there are {', '.join(self.table.column_names)}")
        return self.table[name]

    def rows(self, split: str) -> NDArray[np.int64]:
        """Return the row numbers of a split in ascending order; none for a split that the store lacks.

        Raises:
            InvalidValue: there is no split of that name.
        """
        check_split(split)
        codes, values = self.codes("split")
        if split not in values:
            return np.empty(0, np.int64)
        return np.flatnonzero(codes == values.index(split)).astype(np.int64, copy=False)

    def shard_numbers(self, manifest: Manifest) -> NDArray[np.int32]:
        """Return the shard of each patch as its number in the manifest, (patches,) int32.

        Raises:
            CorruptShard: the manifest does not list a shard.
        """
        codes, names = self.codes("shard")
        number_of = {shard.name: number for number, shard in enumerate(manifest.shards)}
        if unknown := [name for name in names if name not in number_of]:
            raise CorruptShard(f"{INDEX} names shard {shown(unknown[0])}, which the manifest does not list")
        numbers: NDArray[np.int32] = np.asarray([number_of[name] for name in names], np.int32)[codes]
        return numbers

    def labels(self, nomenclature: Nomenclature = NINETEEN) -> NDArray[np.uint8]:
        """Return the labels of all patches, multi-hot, (patches, classes) uint8.

        Raises:
            InvalidValue: it is no nomenclature, or the store has no labels of it.
        """
        check_kind("nomenclature", nomenclature, Nomenclature)
        if not self.has(nomenclature):
            raise InvalidValue(
                f"the store has no labels of {len(nomenclature)} classes (column {nomenclature.column} of the index), "
                f"build it from BigEarthNet v1 with the option {nomenclature.column}"
            )
        return nomenclature.multi_hot(self.column(nomenclature.column))

    def has(self, nomenclature: Nomenclature) -> bool:
        """Tell whether the store has labels of a nomenclature."""
        return nomenclature.column in self.table.column_names

    def facts(self, row: int) -> dict[str, Any]:
        """Return what is known of the patch of a row, by the names of `Facts`; negative rows count from the end.

        Raises:
            InvalidValue: it is no row number.
            IndexError: there is no such row.
        """
        row, columns = row_number(row, len(self)), self.table.column_names
        return {name: self.table[name][row].as_py() if name in columns else None for name in NAMES}

    def key(self, row: int) -> str:
        """Return the patch name of a row, with the same errors as `facts`."""
        key: str = self.table["key"][row_number(row, len(self))].as_py()
        return key
