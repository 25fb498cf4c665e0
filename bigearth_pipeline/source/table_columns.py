"""Columns of Parquet tables from any writer, in one type each.

pandas, polars, Spark and DuckDB write the same facts as strings, large strings, string views, dictionaries or
categoricals, and flags also as numbers or words.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bigearth_pipeline.errors import PipelineError
from shards.reporting import shortened
from shards.runtime.arrow import nullable_array
from shards.storage.safe_open import read_regular

MAX_BYTES: Final = 1 << 29  # Of a file; the official ones have 4 MB.
MAX_ROWS: Final = 2_000_000  # BigEarthNet v1 and v2 have 1,139,814 patches together.
MAX_GROUPS: Final = 10_000
MAX_VALUES: Final = 1 << 26  # Values in the file's column of labels: each patch has at most 19.
MAX_TEXT: Final = 1 << 10  # Bytes of a name.

TEXT: Final = pa.string()
TEXTS: Final = pa.list_(pa.string())
FLAG: Final = pa.bool_()
_WANTED: Final = {TEXT: "text", TEXTS: "a list of names", FLAG: "true or false"}
_WORDS: Final = {"true": True, "t": True, "yes": True, "1": True, "1.0": True} | {
    "false": False, "f": False, "no": False, "0": False, "0.0": False
}  # fmt: skip

_ABSENT: Final = ("", "nan", "none", "null")


def read_columns(path: Path, wanted: Mapping[str, pa.DataType], optional: frozenset[str]) -> dict[str, pa.Array]:
    """Return columns of a Parquet file, each as one array of the wanted type.

    Args:
        path: the file.
        wanted: `TEXT`, `TEXTS` or `FLAG` by name of the column.
        optional: of these, the columns that may be absent: they are of nulls then.

    Raises:
        PipelineError: the file is missing, no Parquet file or too large, or a column is missing or of another type.
    """
    try:
        content = pa.py_buffer(read_regular(path, MAX_BYTES))
        parquet = pq.ParquetFile(pa.BufferReader(content))
        _check_size(path, parquet, wanted)
        names = parquet.schema_arrow.names
        missing = [name for name in wanted if name not in names and name not in optional]
        if missing:
            some = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
            raise PipelineError(f"metadata {path} lacks the columns {', '.join(missing)}; it has {some}")
        twice = next((name for name in wanted if names.count(name) > 1), None)
        if twice:
            raise PipelineError(f"metadata {path} has two columns {twice}, expected one")
        for name in wanted:
            _check_kind(path, name, wanted[name], parquet.schema_arrow, names)
        # Texts as dictionaries: a page of one long text and a run length can stand for any number of bytes.
        leaves = [leaf.path for leaf in _leaves(parquet, wanted) if leaf.physical_type == "BYTE_ARRAY"]
        parquet = pq.ParquetFile(pa.BufferReader(content), read_dictionary=leaves)
        there = [name for name in wanted if name in names]
        # One row group at a time: Arrow does not read dictionaries in lists over several. Without threads: one that
        # releases Python's bytes while the interpreter exits aborts the process.
        groups = [parquet.read_row_group(i, there, use_threads=False) for i in range(parquet.num_row_groups)]
    except FileNotFoundError:
        raise PipelineError(f"metadata {path} does not exist") from None
    except (pa.ArrowException, OSError) as err:
        fact = err.strerror if isinstance(err, OSError) and err.strerror else " ".join(str(err).split())
        if "Not yet implemented" in fact:  # Parquet's own error becomes an OSError in Python.
            raise PipelineError(
                f"metadata {path} has an encoding that is not read here ({shortened(fact, 120)}): write it again with "
                "pandas or polars, or as version 1 of Parquet"
            ) from err
        raise PipelineError(f"metadata {path} is not readable as Parquet: {fact}") from err
    return {
        name: pa.concat_arrays([_cast(path, name, group[name], kind) for group in groups] or [pa.nulls(0, kind)])
        if name in there
        else pa.nulls(sum(group.num_rows for group in groups), kind)
        for name, kind in wanted.items()
    }


def _check_size(path: Path, parquet: pq.ParquetFile, wanted: Mapping[str, pa.DataType]) -> None:
    """Refuse a file that holds more than any table of BigEarthNet, before anything is decoded."""
    rows = parquet.metadata.num_rows
    if not 0 <= rows <= MAX_ROWS:
        raise PipelineError(f"metadata {path} has {rows:,} rows, expected at most {MAX_ROWS:,}, one a patch")
    if parquet.num_row_groups > MAX_GROUPS:
        raise PipelineError(
            f"metadata {path} has {parquet.num_row_groups:,} row groups, expected at most {MAX_GROUPS:,}"
        )
    values = {leaf.path: 0 for leaf in _leaves(parquet, wanted)}
    for group in range(parquet.metadata.num_row_groups):
        facts = parquet.metadata.row_group(group)
        for i in range(facts.num_columns):
            column = facts.column(i)
            if column.path_in_schema in values:
                values[column.path_in_schema] += column.num_values
    for leaf, count in values.items():
        if count > MAX_VALUES:
            raise PipelineError(f"metadata {path}: column {leaf} has {count:,} values, expected at most {MAX_VALUES:,}")


def _leaves(parquet: pq.ParquetFile, wanted: Mapping[str, pa.DataType]) -> Iterator[Any]:
    """Yield the leaf columns that belong to wanted ones."""
    for i in range(len(parquet.schema)):
        leaf = parquet.schema.column(i)
        if leaf.path.partition(".")[0] in wanted:
            yield leaf


def _check_kind(path: Path, name: str, wanted: pa.DataType, schema: pa.Schema, names: list[str]) -> None:
    """Refuse a type that no cast can make the wanted one, before it is decoded."""
    if name not in names:
        return
    found = schema.field(name).type
    good = _is_text(found) or pa.types.is_null(found)
    if wanted == TEXTS:
        good = _is_list(found) and (_is_text(found.value_type) or pa.types.is_null(found.value_type))
    elif wanted == FLAG:
        value = found.value_type if pa.types.is_dictionary(found) else found
        good = good or pa.types.is_boolean(value) or pa.types.is_integer(value) or pa.types.is_floating(value)
    if not good:
        raise _type_error(path, name, found, wanted)


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind) or types.is_list_view(kind)
    )


def _is_text(kind: pa.DataType) -> bool:
    types = pa.types
    if types.is_dictionary(kind):
        return _is_text(kind.value_type)
    text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    return bool(text or types.is_binary(kind) or types.is_large_binary(kind))


def _type_error(path: Path, name: str, found: pa.DataType, wanted: pa.DataType) -> PipelineError:
    shown = str(found) if len(str(found)) <= 100 else f"{str(found)[:100]}…"
    return PipelineError(f"metadata {path}: column {name} has type {shown}, expected {_WANTED[wanted]}")


def _cast(path: Path, name: str, column: pa.ChunkedArray, wanted: pa.DataType) -> pa.Array:
    try:
        if wanted == TEXTS:
            return _texts(path, name, column)
        plain = _plain(path, name, column)
        return plain if wanted == TEXT else _flags(path, name, plain)
    except pa.ArrowException as err:
        fact = shortened(str(err), 200)
        raise PipelineError(f"metadata {path}: column {name} of type {column.type}: {fact}") from err


def _plain(path: Path, name: str, column: pa.ChunkedArray) -> pa.Array:
    """Return a column in one chunk, texts as strings, other types as they are."""
    chunks = []
    for chunk in column.chunks:
        values = chunk.dictionary if pa.types.is_dictionary(chunk.type) else chunk
        if _is_text(values.type):
            longest = pc.max(pc.binary_length(values.cast(pa.large_binary()))).as_py()
            if longest is not None and longest > MAX_TEXT:
                raise PipelineError(
                    f"metadata {path}: column {name} has a text of {longest:,} bytes, expected at most {MAX_TEXT:,}"
                )
            values = values.cast(pa.string())
        chunks.append(pc.take(values, chunk.indices) if pa.types.is_dictionary(chunk.type) else values)
    if not chunks:
        return pa.nulls(0, pa.string() if _is_text(column.type) else column.type)
    array = pa.concat_arrays(chunks)
    return array.cast(pa.string()) if pa.types.is_null(array.type) else array


def _texts(path: Path, name: str, column: pa.ChunkedArray) -> pa.Array:
    """Return a column of any kind of list as lists of strings."""
    chunks = []
    for chunk in column.chunks:
        kind = pa.list_(chunk.type.value_type)
        lists = chunk if pa.types.is_list(chunk.type) else chunk.cast(kind)
        texts = _plain(path, name, pa.chunked_array([lists.values]))
        nulls = lists.is_null() if lists.null_count else None
        chunks.append(pa.ListArray.from_arrays(lists.offsets, texts, mask=nulls))
    return pa.concat_arrays(chunks) if chunks else pa.nulls(0, TEXTS)


def _flags(path: Path, name: str, plain: pa.Array) -> pa.Array:
    """Return a column as booleans; 0 and 1 as numbers or words are taken, and not-a-number is null."""
    if pa.types.is_boolean(plain.type):
        return plain
    distinct = pc.unique(plain)
    meaning: list[bool | None] = []
    for value in distinct.to_pylist():
        word = "" if value is None else str(value).strip().lower()
        if word not in _WORDS and word not in _ABSENT:
            raise PipelineError(f"metadata {path}: column {name} has the value {value!r}, expected {_WANTED[FLAG]}")
        meaning.append(_WORDS.get(word))
    return nullable_array(meaning, FLAG).take(pc.index_in(plain, distinct))
