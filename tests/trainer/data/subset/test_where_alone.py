"""Conditions depend on columns alone: no other statement, file, setting, time or randomness."""

from pathlib import Path

import duckdb
import numpy as np
import pytest

from shards import Store
from trainer.data.subset.where import locked_database, rows_where


@pytest.mark.parametrize(
    "where",
    [
        "true; select true",
        "true; drop table stored",
        "true from stored",
        "true, true",
        "true as a",
        "true) or (true",
        "true) --",
        "distinct true",
        "true limit 1",
        "true order by 1",
        "true using sample 5",
        "true union select true",
        "true where true",
        "true qualify true",
        "month = ?",
        "month = $month",
    ],
)
def test_only_one_expression_is_taken(varied: Store, where: str) -> None:
    """A condition carries a statement or a clause in with it."""
    with pytest.raises(ValueError, match="is not a single SQL expression"):
        rows_where(where, varied.index)


@pytest.mark.parametrize(
    "query",
    [
        "select count(*) from stored",
        "select count(*) from read_text('{file}')",
        "select count(*) from '{file}'",
        "select count(*) from read_csv('{file}')",
        "select count(*) from read_csv('https://localhost/secret.csv')",
        "select count(*) from secret",
        "select count(*) from varied",
        "with t as (select 1) select count(*) from t",
    ],
)
def test_queries_are_refused(varied: Store, tmp_path: Path, query: str) -> None:
    """A condition reads a file, a table, the network or a Python variable."""
    file = tmp_path / "secret.csv"
    file.write_text("a\n1\n")
    where = f"month > ({query.format(file=file)})"
    with pytest.raises(ValueError, match="holds a query, expected an expression of columns"):
        rows_where(where, varied.index)
    with pytest.raises(ValueError, match="holds a query"):
        rows_where(f"list_contains([exists({query.format(file=file)})], true)", varied.index)


@pytest.mark.parametrize(
    "statement",
    [
        "select * from read_text('{file}')",
        "select * from '{file}'",
        "select * from secret",
        "copy (select 1) to '{file}'",
        "attach '{file}'",
        "install httpfs",
        "load httpfs",
        "set enable_external_access = true",
        "set python_enable_replacements = true",
        "set max_expression_depth = 1000",
        "reset lock_configuration",
    ],
)
def test_duckdb_itself_is_locked(tmp_path: Path, statement: str) -> None:
    """A statement that passes the check of a condition could reach files, variables or the network."""
    file = tmp_path / "secret.csv"
    file.write_text("a\n1\n")
    secret = np.arange(3)
    with locked_database() as connection, pytest.raises(duckdb.Error):
        connection.execute(statement.format(file=file)).fetchall()
    assert file.read_text() == "a\n1\n"
    assert len(secret) == 3


@pytest.mark.parametrize(
    ("where", "function"),
    [
        ("random() < 0.5", "random"),
        ('"RANDOM"() < 0.5', "random"),
        ("len(list_filter(labels, lambda x: random() < 0.5)) > 0", "random"),
        ("date < current_date", "current_date"),
        ("date < today()", "today"),
        ("date < now()", "now"),
        ("key < uuid()::varchar", "uuid"),
        ("current_setting('threads') = '1'", "current_setting"),
        ("current_timestamp > '2018-01-01'", "current_timestamp"),
        ('"Current_Timestamp" > date', "current_timestamp"),
        ("len([x for x in [1, 2] if current_timestamp > '2018-01-01']) > 1", "current_timestamp"),
        ("date < localtimestamp", "localtimestamp"),
        ("localtime > '10:00'", "localtime"),
        ("current_time > '10:00'", "current_time"),
        ("current_user = 'duckdb'", "current_user"),
    ],
)
def test_conditions_depend_on_columns_alone(varied: Store, where: str, function: str) -> None:
    """A subset differs between two ranks, or before and after a resume."""
    with pytest.raises(ValueError, match=f"depends on time or chance by {function}"):
        rows_where(where, varied.index)


@pytest.mark.parametrize(
    "where",
    [
        "date::timestamptz > '2018-01-01'",
        "date > ('2018-01-01'::timestamptz)::date",
        "date > cast('2018-01-01' as timestamp with time zone)",
        "try_cast(key as timestamptz) is null",
        "len(list_filter(labels, lambda x: x::timestamptz is null)) = 0",
        "date < (strptime('2018-01-01 +02', '%Y-%m-%d %z'))::date",
        "date < (strptime('2018-01-01 +02', ['%Y', '%Y-%m-%d %z']))::date",
        "date < (strptime('2018-01-01 +02', '%Y-%m-%d ' || reverse('z%')))::date",
    ],
)
def test_conditions_do_not_depend_on_the_time_zone(varied: Store, where: str) -> None:
    """A subset differs between two machines."""
    with pytest.raises(ValueError, match="depends on the time zone of the machine"):
        rows_where(where, varied.index)


def test_python_is_not_evaluated(varied: Store, tmp_path: Path) -> None:
    """A condition runs Python."""
    marker = tmp_path / "marker"
    for where in (f"__import__('pathlib').Path('{marker}').touch()", f"open('{marker}', 'w') is not null"):
        with pytest.raises(ValueError, match="condition"):
            rows_where(where, varied.index)
    assert not marker.exists()
