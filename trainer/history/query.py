"""Selecting and sorting runs by SQL expressions over what they say of themselves (`RunRecord.to_json`)."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import duckdb
import pyarrow as pa

from shards.errors import InvalidValue
from trainer.data.subset.where import bounded_database, first_line, named, parse
from trainer.data.subset.where_errors import fact_of
from trainer.history.record import RunRecord

BEST_FIRST: Final = "-validation.ap_macro"
_COLUMNS: Final = (
    "columns are name, state, device, parameters, epoch, best_epoch, train_loss, seconds, patches_per_second, "
    "wait_share, validation.ap_macro, test.f1_macro and the like, and the options by table, such as optimisation.lr"
)


def query(records: Sequence[RunRecord], where: str | None = None, sort: str = BEST_FIRST) -> list[RunRecord]:
    """Return the runs for which a condition holds, sorted.

    Args:
        records: the runs.
        where: SQL expression, such as `optimisation.lr < 0.01 and model.model = 'resnet50'`; None for all.
        sort: SQL expression; a leading `-` sorts from the highest to the lowest. Runs without a value come last, equal
            ones stay in their order.

    Raises:
        InvalidValue: an expression is not valid.
    """
    if not records:
        return []
    key, direction = (sort[1:], "DESC") if sort.startswith("-") else (sort, "ASC")
    table = pa.Table.from_pylist([{"_row": row} | record.to_json() for row, record in enumerate(records)])
    chosen = set(range(len(records)))
    if where is not None:
        chosen = {row for row, found in _values(table, "condition", where, "({}) IS TRUE") if found}
    place = {row: number for number, (row, _) in enumerate(_values(table, "sort key", key, "1", direction))}
    rows = sorted(chosen, key=place.__getitem__)
    return [records[row] for row in rows]


def _values(
    table: pa.Table, what: str, expression: str, shown: str, direction: str | None = None
) -> list[tuple[int, Any]]:
    """Return (row, value) of a single expression over the columns of a table, sorted by it where a direction is given.

    Raises:
        InvalidValue: it is no such expression, or takes too much time or memory.
    """
    if not expression.strip():
        raise InvalidValue(f"{what} is empty, expected an SQL expression; {_COLUMNS}")
    value = f"(\n{expression}\n)"
    order = "" if direction is None else f"ORDER BY {value} {direction} NULLS LAST, _row"
    with bounded_database(expression, what) as connection:
        connection.register("runs", table)
        parse(connection, expression, what)
        try:
            found: list[tuple[int, Any]] = connection.sql(
                f"SELECT _row, {shown.format(value)} FROM runs {order}"
            ).fetchall()
        except (duckdb.InterruptException, duckdb.OutOfMemoryException):
            raise
        except duckdb.Error as err:
            fact = fact_of(first_line(err), expression, list(_names(table.schema)), _COLUMNS)
            raise InvalidValue(f"{named(expression, what)}: {fact}") from err
    return found


def _names(fields: Iterable[pa.Field], around: str = "") -> Iterator[str]:
    """Yield the names of columns and, with dots, of their parts."""
    for field in fields:
        if pa.types.is_struct(field.type):
            yield from _names(field.type, f"{around}{field.name}.")
        else:
            yield f"{around}{field.name}"
