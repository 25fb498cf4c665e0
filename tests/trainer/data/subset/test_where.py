"""SQL conditions on the index."""

import re
import resource
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import psutil
import pyarrow as pa
import pytest

import shards
from shards import Index, Store
from shards.errors import InvalidValue
from shards.layout.classes import decode_labels
from shards.testing.stores import make_store
from trainer.data.subset import where_watch
from trainer.data.subset.where import COLUMNS, check_condition, locked_database, rows_where

Row = dict[str, Any]


@pytest.fixture(scope="module")
def varied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with three countries, one of them unknown, and a date in each month."""
    dates = [datetime(2017 + month // 7, month, 28, 10, 10, 31) for month in range(1, 13)]
    folder = tmp_path_factory.mktemp("where") / "store"
    counts = {"train": 130, "validation": 30, "test": 20}
    with shards.open(make_store(folder, counts, countries=["Ireland", None, "Austria"], dates=dates)) as store:
        yield store


def rows_of(index: Index) -> list[Row]:
    """Return the rows of an index with the names of their classes."""
    return [row | {"labels": decode_labels(row["label_mask"])} for row in index.table.to_pylist()]


SEASONS = {12: "winter", 1: "winter", 2: "winter", 3: "spring", 4: "spring", 5: "spring"} | {
    month: "summer" if month < 9 else "autumn" for month in range(6, 12)
}


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("key = 'train_7'", lambda row: row["key"] == "train_7"),
        ("split = 'validation'", lambda row: row["split"] == "validation"),
        ("shard like 'train-%2'", lambda row: row["shard"] == "train-00002"),
        ("country in ('Ireland', 'Austria')", lambda row: row["country"] is not None),
        ("country <> 'Ireland'", lambda row: row["country"] == "Austria"),
        ("not country = 'Ireland'", lambda row: row["country"] == "Austria"),
        ("country is null", lambda row: row["country"] is None),
        ("COUNTRY = 'Ireland' AND Month > 6", lambda row: row["country"] == "Ireland" and row["date"].month > 6),
        ("date = '2017-03-28'", lambda row: (row["date"].year, row["date"].month) == (2017, 3)),
        ("date between '2017-05-01' and '2018-08-28'", lambda row: row["date"].month in (5, 6, 7, 8)),
        ("year = 2018", lambda row: row["date"].year == 2018),
        ("month in (6, 7, 8)", lambda row: row["date"].month in (6, 7, 8)),
        *((f"season = '{s}'", lambda row, s=s: SEASONS[row["date"].month] == s) for s in sorted(set(SEASONS.values()))),
        ("list_contains(labels, 'Arable land')", lambda row: "Arable land" in row["labels"]),
        (
            "labels @> ['Arable land', 'Coastal wetlands']",
            lambda row: {"Arable land", "Coastal wetlands"} <= set(row["labels"]),
        ),
        ("len(labels) = num_labels", lambda row: True),
        ("num_labels = 0", lambda row: not row["labels"]),
        ("labels[1] = 'Arable land'", lambda row: row["labels"][:1] == ("Arable land",)),
        ("labels = ['Arable land']", lambda row: row["labels"] == ("Arable land",)),
        ("epsg = 32629 and ulx = 600000 and uly > 5e6", lambda row: True),
        ("seasonal_snow or cloud_or_shadow", lambda row: False),
        ("(month = 1) -- January", lambda row: row["date"].month == 1),
        ("month = 1 or\n month = 2", lambda row: row["date"].month in (1, 2)),
        ("nullif(month, 1) > 1 is null", lambda row: row["date"].month == 1),
        ("num_labels + 1 > 2", lambda row: len(row["labels"]) > 1),
        ("year - 2000 = 17", lambda row: row["date"].year == 2017),
        ("-month < -11", lambda row: row["date"].month == 12),
        ("date + interval 90 days > '2018-10-01'", lambda row: row["date"] > datetime(2018, 7, 4)),
        ("date - '2018-01-01'::date > 30", lambda row: row["date"] > datetime(2018, 2, 1)),
        ("extract(month from date) = 3", lambda row: row["date"].month == 3),
        ("strftime(date, '%Y-%m') = '2018-07'", lambda row: (row["date"].year, row["date"].month) == (2018, 7)),
        ("date_trunc('month', date) = '2017-03-01'", lambda row: row["date"].month == 3),
        ("quarter(date) = 2", lambda row: row["date"].month in (4, 5, 6)),
        ("hour(date) = 0", lambda row: True),
        ("date < strptime('01.07.2017', '%d.%m.%Y')", lambda row: row["date"] < datetime(2017, 7, 1)),
    ],
)
def test_conditions_hold_where_python_says_so(varied: Store, where: str, expected: Callable[[Row], bool]) -> None:
    """A column has another meaning than its name says, or null counts as true."""
    found = rows_where(where, varied.index)
    assert found.dtype == np.int64
    assert found.tolist() == [i for i, row in enumerate(rows_of(varied.index)) if expected(row)]


def test_columns_that_a_condition_uses_are_known() -> None:
    """The message about an empty column names one that has nothing to do with it."""
    assert check_condition("Country = 'a' and len(list_filter(labels, lambda x: x = 'b')) > 1") == {"country", "labels"}
    assert check_condition("true") == set()
    assert check_condition(" and ".join(f"{name} is not null" for name in COLUMNS)) == set(COLUMNS)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("nation = 'Ireland'", "there is no column nation; there are key, split, shard, labels, .*, nodata_pixels$"),
        ("label_mask = 1", "there is no column label_mask; there are key"),
        ('country = "Ireland"', "there is no column Ireland; there are key"),
        ("country = 'Ireland", "is not a single SQL expression: unterminated"),
        ("month in (6", "is not a single SQL expression: syntax error"),
        ("month = = 6", "is not a single SQL expression: syntax error"),
        ("", "is not a single SQL expression"),
        ("month", "is of type BIGINT, expected one BOOLEAN"),
        ("country", "is of type VARCHAR, expected one BOOLEAN"),
        ("null", "is of type .*, expected one BOOLEAN"),
        ("columns(*) is null", "is of type BOOLEAN, BOOLEAN, .*, expected one BOOLEAN"),
        ("count(*) > 5", "cannot contain aggregates"),
        ("row_number() over () > 5", "cannot contain window functions"),
        ("unnest(labels) = 'Pastures'", "UNNEST not supported"),
        ("nothing(month) = 6", "nothing does not exist"),
        ("not " * 101 + "true", "is not a single SQL expression: Max expression depth limit of 100 exceeded"),
        ("not " * 5000 + "true", "is not a single SQL expression: Max expression depth limit of 100 exceeded"),
    ],
)
def test_wrong_conditions_are_refused(where: str, message: str) -> None:
    """A typing error passes unseen, comes to light after the start, or ends in more than one clear line."""
    with pytest.raises(ValueError, match=message) as caught:
        check_condition(where)
    assert str(caught.value).startswith("condition ")
    assert "\n" not in str(caught.value)


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


def test_values_that_do_not_convert_are_named(varied: Store) -> None:
    """A comparison of text with a number ends in a traceback when training starts."""
    with pytest.raises(ValueError, match=r"^condition 'country = 5': Could not convert string '\w+' to INT32"):
        rows_where("country = 5", varied.index)
    with pytest.raises(ValueError, match=r"^condition .* invalid date field format: .yesterday., expected"):
        rows_where("date > 'yesterday'", varied.index)


def test_long_conditions_are_short_in_messages(varied: Store) -> None:
    """A list of a thousand keys fills the terminal, or is too long to be taken."""
    where = " or ".join(f"key = 'train_{i}'" for i in range(1000))
    assert rows_where(where, varied.index).tolist() == list(range(130))
    with pytest.raises(ValueError, match=r"is of type VARCHAR") as caught:
        check_condition(f"case when {where} then country end")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("list_contains(labels, 'Pasture')", "no patch can have 'Pasture' in labels, perhaps 'Pastures'"),
        ("'pastures' IN labels", "no patch can have 'pastures' in labels, perhaps 'Pastures'"),
        ("country = 'Ireland' OR list_has_any(labels, ['Arable land', 'Glacier'])", "no patch can have 'Glacier'"),
        ("season IN ('summer', 'fall')", "no patch can have 'fall' in season"),
        ("NOT split = 'val'", "no patch can have 'val' in split"),
        *(
            (where, "no patch can have 'Pasture' in labels, perhaps 'Pastures'")
            for where in (
                "labels[1] = 'Pasture'",
                "'Pasture' = labels[-1]",
                "labels[1:2] = ['Pasture']",
                "labels[1] IN ('Pastures', 'Pasture')",
                "labels[1] IS DISTINCT FROM 'Pasture'",
                "labels[1]::VARCHAR = 'Pasture'",
                "labels[1] = 'Pasture'::VARCHAR",
                "list_extract(labels, 1) = 'Pasture'",
                "array_extract(labels, 1) <> 'Pasture'",
                "unnest(labels) = 'Pasture'",
                "'Pasture' IN labels",
                "NOT labels.list_contains('Pasture')",
                "list_sort(labels)[1] = 'Pasture'",
                "list_first(labels) = 'Pasture'",
                "len(list_intersect(labels, ['Pasture'])) > 0",
                "['Pasture'] <@ labels",
                "CASE labels[1] WHEN 'Pasture' THEN true ELSE false END",
            )
        ),
        ("season::VARCHAR = 'fall'", "no patch can have 'fall' in season"),
    ],
)
def test_unknown_names_are_refused(where: str, message: str) -> None:
    """A mistyped class selects nothing, or everything else, without a word."""
    with pytest.raises(ValueError, match=re.escape(message)):
        check_condition(where)


@pytest.mark.parametrize(
    "where",
    [
        "list_contains(labels, 'Urban fabric') AND season <> 'winter'",
        "len(list_filter(labels, lambda name: name LIKE '%forest%')) > 1",
        "country = 'Mordor'",
        "labels[1] = 'Pastures' and season[1] = 's' and split[1:3] = 'tra'",
        "coalesce(labels[1], 'none') = 'none'",
        "lower(labels[1]) = 'pastures'",
    ],
)
def test_other_texts_are_left_alone(where: str) -> None:
    """A pattern, or a country that another store may have, passes for a mistyped name."""
    check_condition(where)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (
            " or ".join("month = 6" for _ in range(20_000)),
            "has 259,996 characters, .*`patches=FILE`",
        ),
        (f"country = '{'x' * 10**6}'", "has 1,000,012 characters"),
        ("(" * 30_000 + "true" + ")" * 30_000, "expression depth limit"),
        ("len(repeat('x', 1000000000)) > 5", "calls repeat, expected comparisons of columns"),
        ("len('x'.repeat(1000000000)) > 5", "calls repeat"),
        ("main.rpad(key, 1000000000, 'x') = 'a'", "calls rpad"),
        ("replace(replace(key, 'a', 'aaaaaaaaa'), 'a', 'aaaaaaaaa') = 'a'", "calls replace"),
        ("printf('%1000000000d', month) = 'a'", "calls printf"),
        ("list_reduce(labels, lambda a, b: a || a || b || b) = 'a'", "calls list_reduce"),
        ("len(list_filter(labels, lambda a: len(list_filter(labels, lambda b: b < a)) > 0)) > 0", "lambda within a la"),
        ("len([[y for y in labels if y < x] for x in labels]) > 0", "lambda within a lambda"),
        (
            "len(list_transform(list_transform([key], lambda x: x || x), lambda x: x || x)) > 0",
            "a lambda that repeats what another one has repeated",
        ),
        ("len([x || x for x in [y || y for y in labels]]) > 0", "a lambda that repeats what another one has repeated"),
        ("len(string_split(list_transform(labels, lambda x: x || 'b')::VARCHAR, '')) > 0", "splits what comes from"),
        ("len(split(string_split(key, '')::VARCHAR, '')) > 0", "splits what comes from"),
        ("len(list_concat(split(key, ''), ('[' || split(key, '')::VARCHAR || ']')::VARCHAR[])) > 0", "splits what com"),
        ("len(list_filter(labels, lambda x: len(string_split(x, '')) > 3)) > 0", "splits texts within a lambda"),
        (f"len(list_transform(labels, lambda x: x || '{'a' * 2048}')) > 0", "a lambda of 2,051 parts and characters"),
        ("key LIKE '%a%a%a%a%a%a%a%a%b'", "a text with 9 wildcards, expected at most 8"),
        ("key GLOB '*a*a*a*a*a*a*a*a*b'", "a text with 9 wildcards, expected at most 8"),
    ],
)
def test_time_and_memory_of_a_condition_are_bounded(varied: Store, where: str, message: str) -> None:
    """A short text takes all memory, or runs for ever where it cannot be interrupted."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    with pytest.raises(ValueError, match=message) as caught:
        rows_where(where, varied.index)
    assert time.process_time() - started < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 512 << 10  # KiB
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)


@pytest.mark.long
@pytest.mark.parametrize(
    "where",
    [
        f"len(list_transform(string_split('{'a' * 60_000}' || key, ''), lambda x: x || key)) > 0",
        f"len(list_sort(string_split(key || '{'a,' * 30_000}', ','))) > 0",
        f"len(string_split('{'a' * 60_000}' || key, '')) > 0",
        f"len(('[' || key || '{',a' * 30_000}]')::VARCHAR[]) > 0",
        f"len('{'a' * 60_000}' || key{' || key' * 80}) > 0",
        f"len(list_transform([{'1,' * 25_000}1], lambda x: x || '{'a' * 2_000}')) > 0",
    ],
    ids=["lambda", "sort", "split", "cast", "deep", "product"],
)
def test_long_values_take_little_memory(varied: Store, where: str) -> None:
    """A condition of allowed functions takes 12 GB for the 2,048 rows that DuckDB evaluates at a time."""
    table = pa.concat_tables([varied.index.table] * 3).slice(0, 300).combine_chunks()
    done, most = threading.Event(), 0
    process = psutil.Process()
    before = process.memory_info().rss

    def measure() -> None:
        nonlocal most
        while not done.wait(0.005):
            most = max(most, process.memory_info().rss - before)

    (measuring := threading.Thread(target=measure)).start()
    try:
        assert len(rows_where(where, Index(table))) == 300
    finally:
        done.set()
        measuring.join()
    assert most < 350e6


def test_a_condition_that_takes_too_much_memory_ends(varied: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """DuckDB's own limit does not count the values of vectors."""
    monkeypatch.setattr(where_watch, "MEMORY", -(2**60))
    numbers = ", ".join(str(number) for number in range(8000))
    table = pa.concat_tables([varied.index.table] * 500)
    with pytest.raises(ValueError, match="of memory, expected comparisons of columns"):
        rows_where(f"len(list_filter([{numbers}], lambda x: x % 7 = ulx % 5)) >= 1", Index(table.combine_chunks()))


@pytest.mark.parametrize(
    "where",
    [
        "len([x for x in labels if x > 'A' and x < 'Z']) >= 0",
        "len(list_transform(list_filter(labels, lambda x: x > 'A' and x < 'Z'), lambda x: x || lower(x))) >= 0",
        "string_split(key, '_')[1] <> 'x'",
        "len(string_split(labels[1], ' ')) > 0 or num_labels = 0",
        f"key NOT IN ({', '.join(repr(str(i)) for i in range(4000))}) "
        "and len(list_filter(labels, lambda x: x = '')) = 0",
        f"len(list_filter([{', '.join(map(str, range(8000)))}], lambda x: x > ulx)) = 0",
    ],
    ids=map(str, range(6)),
)
def test_bounds_leave_common_conditions_alone(varied: Store, where: str) -> None:
    """A condition that takes little is refused, or loses rows where it is evaluated in parts."""
    assert rows_where(where, varied.index).tolist() == list(range(varied.index.table.num_rows))


def test_texts_that_are_no_unicode_are_refused(varied: Store) -> None:
    """A condition from a command line of another encoding ends in an error of DuckDB."""
    for where in ("key = '\udc80'", "\ud800"):
        with pytest.raises(InvalidValue, match="condition "):
            rows_where(where, varied.index)
        with pytest.raises(InvalidValue, match="condition "):
            check_condition(where)


@pytest.mark.parametrize("seconds", [0.001, 0.01, 0.05, 0.3])
def test_a_condition_that_takes_too_long_ends(varied: Store, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """A condition of allowed functions runs for hours."""
    # The shorter, the likelier that the time is over between two statements.
    monkeypatch.setattr(where_watch, "SECONDS", seconds)
    numbers = ", ".join(str(number) for number in range(8000))
    table = pa.concat_tables([varied.index.table] * 500)
    with pytest.raises(ValueError, match=rf"takes more than {seconds} s"):
        rows_where(f"len(list_filter([{numbers}], lambda x: x % 7 = ulx % 5)) >= 1", Index(table.combine_chunks()))
