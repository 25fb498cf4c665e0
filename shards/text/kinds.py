"""Kinds of arguments that callers of the library give: rows, arrays, objects of ours."""

import operator
from textwrap import shorten
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shards.errors import InvalidValue


def check_kind(name: str, value: Any, *kinds: type) -> None:
    """Check the type of an argument.

    Args:
        name: of the argument.
        value: that a caller gave.
        kinds: of which it may be.

    Raises:
        InvalidValue: it is of none of them.
    """
    if not isinstance(value, kinds):
        expected = " or ".join(f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in kinds)
        raise InvalidValue(f"{name} is {_shown(value)}, expected a {expected.replace('builtins.', '')}")


def row_number(row: Any, count: int) -> int:
    """Return a row of a table as an int from 0; negative ones count from the end.

    Args:
        row: that a caller gave.
        count: rows of the table.

    Raises:
        InvalidValue: it is no integer.
        IndexError: there is no such row.
    """
    try:
        number = operator.index(row)
    except TypeError:
        raise InvalidValue(f"row is {_shown(row)}, expected an integer {_range(count)}") from None
    if not -count <= number < count:
        raise IndexError(f"row {number} of a store of {count}")
    return number % count


def row_numbers(rows: Any, count: int) -> NDArray[np.int64]:
    """Return rows of a table, (n,) int64.

    Args:
        rows: that a caller gave: integers from 0, in any order.
        count: rows of the table.

    Raises:
        InvalidValue: they are no integers.
        IndexError: there is no such row.
    """
    expected = f"integers {_range(count)}, such as store.index.rows('train')"
    try:
        found = np.asarray(rows)
    except (ValueError, TypeError):
        raise InvalidValue(f"rows are {_shown(rows)}, expected {expected}") from None
    if found.ndim != 1 or (found.size and found.dtype.kind not in "iu"):
        raise InvalidValue(f"rows are {_shown(rows)} ({found.dtype} of shape {found.shape}), expected {expected}")
    if found.size and (found.min() < 0 or found.max() >= count):
        raise IndexError(f"rows {found.min()} to {found.max()} of a store of {count}")
    return found.astype(np.int64, copy=False)


def _shown(value: Any) -> str:
    """Return a value as a part of one line."""
    return shorten(repr(value), 60, placeholder=" …")


def _range(count: int) -> str:
    return f"from 0 to {count - 1}" if count else "from 0, of which there are none"
