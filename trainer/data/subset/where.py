"""SQL conditions on the columns of an index, evaluated by DuckDB.

A condition is text of a user, so it can do no more than compare columns: it must be a single expression, DuckDB runs
without access to files, network, extensions and Python variables, and nothing of it is evaluated as Python.
"""

import json
import textwrap
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shards import Index
from shards.errors import InvalidValue
from shards.layout.classes import FORTY_THREE, NINETEEN, Nomenclature
from shards.layout.facts import NAMES as FACTS
from shards.layout.facts import OPTIONAL
from shards.metadata.index import index_schema
from shards.runtime.arrow import numpy_values, table_of
from trainer.data.subset.where_errors import fact_of
from trainer.data.subset.where_limits import MEMORY, excess, excess_of_tree, objects, rows_at_a_time
from trainer.data.subset.where_names import VOCABULARIES, unknown_name, vocabularies_of
from trainer.data.subset.where_watch import watched


def _names_in(nomenclature: Nomenclature, kind: str) -> str:
    """Return the list of names of a mask in SQL; `kind` is the type of its column."""
    names = ", ".join(f"'{name}'" for name in nomenclature.names)
    return f"list_filter([{names}], lambda name, i: {nomenclature.column} >> (i - 1)::{kind} & 1 = 1)"


_DERIVED: Final[dict[str, dict[str, str]]] = {
    "split": {"split": "split", "shard": "shard"},
    "label_mask": {
        "labels": _names_in(NINETEEN, "UINTEGER"),
        "num_labels": "bit_count(label_mask)::INTEGER",
    },
    FORTY_THREE.column: {FORTY_THREE.column: _names_in(FORTY_THREE, "UBIGINT")},
    "date": {
        "date": "date::DATE",
        "year": "year(date)",
        "month": "month(date)",
        "season": "['winter', 'spring', 'summer', 'autumn'][month(date) % 12 // 3 + 1]",
    },
}
"""Columns that stand for a fact where that is not itself one."""

COLUMNS: Final[dict[str, str]] = {
    name: definition for fact in FACTS for name, definition in _DERIVED.get(fact, {fact: fact}).items()
}
"""Columns that a condition may name, and how each follows from those of the index. `date` is without time of day;
seasons are the meteorological ones of the northern hemisphere, winter being December to February; `labels` is a list of
class names, as is `labels43`, which only some stores have. DuckDB computes only those that a condition uses."""

_SOURCES: Final = ("shard", *FACTS)

_SETTINGS: Final[dict[str, str | bool | int | float | list[str]]] = {
    "enable_external_access": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
    "temp_directory": "",
    # A condition on 590,326 patches takes one thread less than half a second.
    "threads": 1,
    "memory_limit": f"{MEMORY}B",
}

_INTERRUPTED: Final = "Query interrupted"
"""Text of DuckDB's RuntimeError after a signal."""

# A subset must be the same on every rank and at every start, so what depends on chance or time is no condition. Of some
# functions only the overloads for times with a time zone do: the types of their arguments show which.
_UNSTABLE: Final = """
    SELECT function_name FROM duckdb_functions() GROUP BY function_name HAVING bool_and(stability <> 'CONSISTENT')
"""
# Aggregates, of which some are macros as well, are no values of a row; binding refuses them.
_SCALARS: Final = """
    SELECT function_name FROM duckdb_functions() WHERE function_type IN ('scalar', 'macro')
    EXCEPT SELECT function_name FROM duckdb_functions() WHERE function_type = 'aggregate'
"""


@contextmanager
def locked_database() -> Iterator[duckdb.DuckDBPyConnection]:
    """Open an empty database in memory from which no statement reaches anything outside."""
    with duckdb.connect(":memory:", config=_SETTINGS) as connection:
        # Deep enough, since any number of terms with AND, or with OR, between them is one level.
        connection.execute("SET max_expression_depth = 100")
        connection.execute("SET lock_configuration = true")
        try:
            yield connection
        except RuntimeError as err:
            if str(err) == _INTERRUPTED:
                # DuckDB replaces the KeyboardInterrupt that a signal has raised.
                raise KeyboardInterrupt from err
            raise


@contextmanager
def bounded_database(expression: str, what: str = "condition") -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a locked database for an expression, whose work ends with an error where it exceeds a limit.

    Args:
        expression: text of a user.
        what: it is, for messages.

    Raises:
        InvalidValue: the text is too long, or its evaluation takes too much time or memory.
    """
    if fact := excess(expression):
        raise InvalidValue(f"{named(expression, what)} {fact}")
    with locked_database() as connection, watched(connection.interrupt) as watch:
        try:
            yield connection
        except duckdb.InterruptException as err:
            raise InvalidValue(
                f"{named(expression, what)} takes more than {watch.excess}, expected comparisons of columns"
            ) from err
        except (duckdb.OutOfMemoryException, MemoryError) as err:
            raise InvalidValue(f"{named(expression, what)} takes more than {MEMORY / 1e9:g} GB of memory") from err


def named(expression: str, what: str = "condition") -> str:
    """Return what messages call an expression."""
    return f"{what} {textwrap.shorten(expression, 160, placeholder=' …')!r}"


def check_condition(where: str) -> frozenset[str]:
    """Return which of `COLUMNS` a condition uses. Names of countries and shards are checked once there is an index.

    Raises:
        ValueError: it is not a single SQL expression, holds a query, names an unknown column or class, depends on time
            or chance, or is not boolean.
    """
    schema = index_schema("webdataset", optional=OPTIONAL)
    with bounded_database(where) as connection:
        return _prepare(connection, where, table_of({name: [] for name in schema.names}, schema), VOCABULARIES)


def rows_where(where: str, index: Index) -> NDArray[np.int64]:
    """Return the rows of an index for which a condition is true, and neither false nor null, ascending.

    Raises:
        ValueError: as `check_condition`, a country or shard that it names is neither in the index nor, the former, in
            BigEarthNet, or a value cannot be converted as the condition says.
    """
    with bounded_database(where) as connection:
        _prepare(connection, where, index.table, VOCABULARIES | vocabularies_of(index.table))
        try:
            # DuckDB keeps the order of rows, unless told otherwise.
            found = connection.sql(f"SELECT (\n{where}\n) IS TRUE AS chosen FROM patches").to_arrow_table()
        except (duckdb.InterruptException, duckdb.OutOfMemoryException):
            raise
        except duckdb.Error as err:
            raise InvalidValue(f"{named(where)}: {fact_of(first_line(err), where, (), '')}") from err
        return np.flatnonzero(numpy_values(found["chosen"])).astype(np.int64, copy=False)


def _prepare(
    connection: duckdb.DuckDBPyConnection, where: str, table: pa.Table, vocabularies: Mapping[str, Collection[str]]
) -> frozenset[str]:
    """Check a condition, and make the view `patches` of a table."""
    nodes = list(objects(parse(connection, where)))
    if any(node.get("class") == "SUBQUERY" for node in nodes):
        raise InvalidValue(f"{named(where)} holds a query, expected an expression of columns")
    references = {name.lower() for node in nodes for name in node.get("column_names", [])}
    called = {node["function_name"] for node in nodes if "function_name" in node}
    scalars = frozenset(name for (name,) in connection.execute(_SCALARS).fetchall())
    unstable = called & {name for (name,) in connection.execute(_UNSTABLE).fetchall()}
    unstable |= {name for name in references - COLUMNS.keys() if _is_called_without_brackets(connection, name)}
    if unstable:
        raise InvalidValue(f"{named(where)} depends on time or chance by {min(unstable)}, expected columns alone")
    if _has_time_zone(nodes):
        raise InvalidValue(
            f"{named(where)} depends on the time zone of the machine, expected dates and times without a time zone"
        )
    if fact := excess_of_tree(nodes, scalars):
        raise InvalidValue(f"{named(where)} {fact}")
    if fact := unknown_name(nodes, vocabularies):
        raise InvalidValue(f"{named(where)}: {fact}")
    absent = OPTIONAL - set(table.column_names)
    if used := references & absent:
        raise InvalidValue(
            f"{named(where)}: the store has no column {min(used)}, expected one that is built from BigEarthNet v1 with "
            f"the option {min(used)}"
        )
    sources = [name for name in _SOURCES if name not in absent]
    connection.register("stored", _in_batches(table.select(sources), rows_at_a_time(nodes)))
    columns = {name: definition for name, definition in COLUMNS.items() if name not in absent}
    selected = ", ".join(f"{definition} AS {name}" for name, definition in columns.items())
    connection.execute(f"CREATE VIEW patches AS SELECT {selected} FROM stored")
    try:
        # Bound and not run: WHERE refuses what is no value of a row (aggregates, windows), SELECT knows the type.
        connection.sql(f"FROM patches WHERE (\n{where}\n)")
        kinds = [str(kind) for kind in connection.sql(f"SELECT (\n{where}\n) FROM patches").types]
    except (duckdb.InterruptException, duckdb.OutOfMemoryException):
        raise
    except duckdb.Error as err:
        # Before a store is known, only columns that all stores have.
        listed = [name for name in columns if len(table) or name not in OPTIONAL]
        fact = fact_of(first_line(err), where, listed, f"there are {', '.join(listed)}")
        raise InvalidValue(f"{named(where)}: {fact}") from err
    if kinds != ["BOOLEAN"]:
        raise InvalidValue(f"{named(where)} is of type {', '.join(kinds)}, expected one BOOLEAN")
    return frozenset(references & COLUMNS.keys())


def _is_called_without_brackets(connection: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Return whether a name that looks like a column is a function: SQL calls `current_date`, a clock, like that."""
    quoted = name.replace('"', '""')
    try:
        connection.sql(f'SELECT "{quoted}"')
    except duckdb.BinderException:
        return False
    return True


def _has_time_zone(nodes: list[dict[str, Any]]) -> bool:
    """Return whether a condition makes a value with a time zone.

    No column has one, and of the functions that a condition may call only `strptime` makes one of values without.
    """
    for node in nodes:
        if any("tz" in name or "zone" in name for name in _names_of_types(node)):
            return True
        if node.get("function_name") == "strptime":
            written = list(objects(node["arguments"][1:]))
            formats = [text for inner in written if (text := inner.get("text")) is not None]
            is_made = any(inner.get("function_name", "list_value") != "list_value" for inner in written)
            if not formats or is_made or any("%z" in text.lower() for text in formats):
                return True
    return False


def _names_of_types(node: dict[str, Any]) -> Iterator[str]:
    """Yield the names of types that an expression of a syntax tree converts to, in lower case."""
    for key in ("type_expr", "cast_type"):
        for inner in objects(node.get(key, {})):
            for name in ("type_name", "id"):
                if isinstance(inner.get(name), str):
                    yield inner[name].lower()


def _in_batches(table: pa.Table, rows: int | None) -> pa.Table | pa.RecordBatchReader:
    """Return a table to be read once, at most `rows` rows at a time if that is not None."""
    if rows is None:
        return table
    batches = (batch.slice(start, rows) for batch in table.to_batches() for start in range(0, batch.num_rows, rows))
    return pa.RecordBatchReader.from_batches(table.schema, batches)


def parse(connection: duckdb.DuckDBPyConnection, expression: str, what: str = "condition") -> dict[str, Any]:
    """Return the syntax tree of a text that is one expression and nothing else.

    What is around the expression is compared with what is around one known to be alone, so that no clause of SQL has to
    be thought of here.
    """
    trees = []
    for text in (expression, "true"):
        [row] = connection.execute("SELECT json_serialize_sql(?)", [f"SELECT {text}"]).fetchall()
        tree = json.loads(row[0])
        if tree["error"]:
            fact = tree["error_message"].splitlines()[0]
            raise InvalidValue(f"{named(expression, what)} is not a single SQL expression: {fact}")
        trees.append((tree["statements"][0]["node"].pop("select_list", []), tree))
    (expressions, around), (_, alone) = trees
    if around != alone or len(expressions) != 1 or expressions[0]["alias"]:
        raise InvalidValue(f"{named(expression, what)} is not a single SQL expression")
    found: dict[str, Any] = expressions[0]
    return found


def first_line(err: duckdb.Error) -> str:
    """Return the first line of an error of DuckDB, without the kind in front."""
    return str(err).splitlines()[0].partition("Error: ")[2]
