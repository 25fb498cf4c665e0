"""Tables whose columns are replaced, as another program might write them."""

import pyarrow as pa

LIMIT = 16 << 20
"""Bytes that an index may have beside 512 a row, as packed and as read."""


def put(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    """Return a table with another column of that name."""
    return table.set_column(table.column_names.index(name), name, values)
