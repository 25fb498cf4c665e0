"""Selecting and sorting runs by SQL expressions over what they say of themselves (`RunRecord.to_json`)."""

from collections.abc import Sequence
from typing import Final

import duckdb
import pyarrow as pa

from shards.errors import InvalidValue
from trainer.data.subset.where import locked_database
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
    with locked_database() as connection:
        connection.register("runs", table)
        for what, expression in (("condition", where), ("sort key", key)):
            if expression is not None:
                _check(connection, what, expression)
        chosen = f"(\n{where}\n) IS TRUE" if where is not None else "TRUE"
        try:
            rows = connection.sql(
                f"SELECT _row FROM runs WHERE {chosen} ORDER BY (\n{key}\n) {direction} NULLS LAST, _row"
            ).fetchall()
        except duckdb.Error as err:
            raise InvalidValue(f"the runs cannot be selected: {str(err).splitlines()[0]}") from err
    return [records[row] for (row,) in rows]


def _check(connection: duckdb.DuckDBPyConnection, what: str, expression: str) -> None:
    """Check that a text is a single expression over the columns of `runs`."""
    if not expression.strip():
        raise InvalidValue(f"{what} is empty, expected an SQL expression; {_COLUMNS}")
    try:
        statements = connection.extract_statements(f"SELECT (\n{expression}\n) FROM runs")
        if len(statements) != 1:
            raise InvalidValue(f"{what} {expression!r:.160} is not a single SQL expression")
        connection.execute(statements[0]).fetchall()
    except duckdb.Error as err:
        raise InvalidValue(f"{what} {expression!r:.160}: {str(err).splitlines()[0]}; {_COLUMNS}") from err
