"""Arrow arrays from Python lists and NumPy arrays, and back.

`pyarrow.array` and `to_numpy` import pandas where it is installed, which takes a third of a second in every process.
Builds have several short-lived ones and a trainer should start at once, so arrays are made of their buffers here.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray


def numeric_array(values: ArrayLike, kind: pa.DataType) -> pa.Array:
    """Return an array of a fixed-width numeric or timestamp type; booleans are packed into bits."""
    if pa.types.is_boolean(kind):
        flags = np.asarray(values, np.bool_)
        return pa.Array.from_buffers(kind, len(flags), [None, pa.py_buffer(_bits(flags))])
    array = np.ascontiguousarray(values, _dtype(kind))
    return pa.Array.from_buffers(kind, len(array), [None, pa.py_buffer(array.view(np.uint8))])


def nullable_array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return an array of a fixed-width numeric or boolean type; None is null."""
    valid = np.fromiter((value is not None for value in values), np.bool_, len(values))
    if valid.all():
        return numeric_array(values, kind)
    array = numeric_array([0 if value is None else value for value in values], kind)
    return pa.Array.from_buffers(kind, len(array), [pa.py_buffer(_bits(valid)), array.buffers()[1]])


def text_array(values: Sequence[str]) -> pa.Array:
    """Return a string array."""
    encoded = [value.encode() for value in values]
    offsets = np.zeros(len(encoded) + 1, np.int32)
    np.cumsum([len(value) for value in encoded], out=offsets[1:])
    return pa.Array.from_buffers(
        pa.string(), len(encoded), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    )


def dictionary_array(values: Sequence[str | None]) -> pa.Array:
    """Return a dictionary<int32, string> array, its dictionary in order of first occurrence; None is null."""
    distinct = [value for value in dict.fromkeys(values) if value is not None]
    code = {value: i for i, value in enumerate(distinct)}
    codes = np.fromiter((code.get(value, 0) if value is not None else 0 for value in values), np.int32, len(values))
    valid = np.fromiter((value is not None for value in values), np.bool_, len(values))
    validity = None if valid.all() else pa.py_buffer(_bits(valid))
    indices = pa.Array.from_buffers(pa.int32(), len(values), [validity, pa.py_buffer(codes)])
    return pa.DictionaryArray.from_arrays(indices, text_array(distinct))


def numpy_values(column: pa.Array | pa.ChunkedArray, *, null: int | None = None) -> NDArray[Any]:
    """Return the values of a numeric, boolean or timestamp column as an array of shape (rows,).

    There is no copy for a single chunk of a numeric type without nulls.

    Args:
        column: the values.
        null: what stands for null; None where there are no nulls.
    """
    if null is not None and column.null_count:
        return np.where(numpy_values(column.is_valid()), numpy_values(column), null).astype(_dtype(column.type))
    if isinstance(column, pa.ChunkedArray):
        chunks = [numpy_values(chunk) for chunk in column.chunks]
        if len(chunks) == 1:
            return chunks[0]
        return np.concatenate(chunks) if chunks else numpy_values(numeric_array([], column.type))
    if not len(column):
        return np.empty(0, _dtype(column.type))
    data = column.buffers()[1]
    end = column.offset + len(column)
    if pa.types.is_boolean(column.type):
        bits = np.unpackbits(np.frombuffer(data, np.uint8), count=end, bitorder="little")
        return bits[column.offset :].astype(np.bool_)
    return np.frombuffer(data, _dtype(column.type), end)[column.offset :]


def _dtype(kind: pa.DataType) -> str:
    if pa.types.is_timestamp(kind):
        return f"datetime64[{kind.unit}]"
    return {"float": "f4", "double": "f8"}.get(str(kind)) or str(kind)


def _bits(flags: NDArray[np.bool_]) -> NDArray[np.uint8]:
    packed: NDArray[np.uint8] = np.packbits(flags, bitorder="little")
    return packed


def table_of(columns: Mapping[str, Sequence[Any]], schema: pa.Schema) -> pa.Table:
    """Return a table of lists of values, by column name; columns must be numeric, boolean, timestamps or text.

    None is null in columns of numbers, booleans and dictionaries.
    """
    arrays = []
    for field in schema:
        values = columns[field.name]
        if pa.types.is_dictionary(field.type):
            arrays.append(dictionary_array(values))
        elif pa.types.is_string(field.type):
            arrays.append(text_array(values))
        else:
            timestamps = pa.types.is_timestamp(field.type)
            arrays.append((numeric_array if timestamps else nullable_array)(values, field.type))
    return pa.Table.from_arrays(arrays, schema=schema)
