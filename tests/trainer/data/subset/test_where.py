"""Conditions on columns of the index: which rows they take, and which are refused."""

import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import shards
from shards import Index, Store
from shards.errors import InvalidValue
from shards.layout.classes import decode_labels
from shards.testing.stores import make_store
from trainer.data.subset.where import COLUMNS, check_condition, rows_where

Row = dict[str, Any]


def rows_of(index: Index) -> list[Row]:
    """Return the rows of an index with the names of their classes."""
    return [row | {"labels": decode_labels(row["label_mask"])} for row in index.table.to_pylist()]


SEASONS = {12: "winter", 1: "winter", 2: "winter", 3: "spring", 4: "spring", 5: "spring"} | {
    month: "summer" if month < 9 else "autumn" for month in range(6, 12)
}


@pytest.mark.product
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
    assert check_condition("Country = 'a' and len(list_filter(labels, lambda x: x = 'Pastures')) > 1") == {
        "country",
        "labels",
    }
    assert check_condition("true") == set()
    assert check_condition(" and ".join(f"{name} is not null" for name in COLUMNS)) == set(COLUMNS)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("nation = 'Ireland'", "there is no column nation; there are key, split, shard, labels, .*, nodata_pixels$"),
        ("ctry = 'Ireland'", "there is no column ctry, perhaps country; there are key, split"),
        ("country === 'Ireland'", "the operator === does not exist, perhaps =$"),
        ("label_mask = 1", "there is no column label_mask, perhaps labels; there are key"),
        (
            'country = "Ireland"',
            "there is no column Ireland \\(texts stand between single quotes: 'Ireland'\\); there are key",
        ),
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
        ("labels like '%ast%'", r"; a text is found in a list by list_contains\(labels, 'TEXT'\)$"),
        ("Labels > 3", r"VARCHAR\[\] and type INTEGER_LITERAL; .* by list_contains\(Labels, 'TEXT'\)$"),
        ("date > 2017", r"DATE and type INTEGER_LITERAL; a date is compared with a text such as '2018-06-30'"),
        ("2017 < date", r"a date is compared with a text such as '2018-06-30', a year by year\(date\)$"),
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


def test_values_that_do_not_convert_are_named(varied: Store) -> None:
    """A comparison of text with a number ends in a traceback when training starts."""
    with pytest.raises(ValueError, match=r"^condition 'country = 5': Could not convert string '\w+' to INT32"):
        rows_where("country = 5", varied.index)
    with pytest.raises(ValueError, match=r"^condition .* invalid date field format: .yesterday., expected"):
        rows_where("date > 'yesterday'", varied.index)
    with pytest.raises(ValueError, match=r"VARCHAR\[\]; a text is found in a list by list_contains\(labels, 'TEXT'\)$"):
        rows_where("labels = 'Pastures'", varied.index)


def test_long_conditions_are_short_in_messages(varied: Store) -> None:
    """A list of a thousand keys fills the terminal, or is too long to be taken."""
    where = " or ".join(f"key = 'train_{i}'" for i in range(1000))
    assert rows_where(where, varied.index).tolist() == list(range(130))
    with pytest.raises(ValueError, match=r"is of type VARCHAR") as caught:
        check_condition(f"case when {where} then country end")
    assert len(str(caught.value)) < 300


@pytest.mark.product
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
                "nullif(labels[1], 'Pasture') is null",
                "labels[1:2][1] = 'Pasture'",
                "len(list_filter(labels, lambda x: x = 'Pasture')) = 0",
                "len(list_filter(labels, X -> x in ('Pastures', 'Pasture'))) = 0",
                "len(list_filter(list_sort(labels), lambda x, i: i = 1 and x <> 'Pasture')) > 0",
                "len([x for x in labels if x = 'Pasture']) = 0",
                "list_bool_or(list_transform(labels, lambda x: x = 'Pasture'))",
            )
        ),
        ("season::VARCHAR = 'fall'", "no patch can have 'fall' in season"),
        ("(month, season) = (9, 'fall')", "no patch can have 'fall' in season"),
        ("(season, month) in (('summer', 6), ('fall', 9))", "no patch can have 'fall' in season"),
        ("(season, month) in [('fall', 9)]", "no patch can have 'fall' in season"),
        (
            "not (((split, season), month)) is distinct from ((('train', 'fall'), 9))",
            "no patch can have 'fall' in seas",
        ),
        ("{'a': season, 'b': month} = {'a': 'fall', 'b': 9}", "no patch can have 'fall' in season"),
        ("[split, season] = ['train', 'fall']", "no patch can have 'fall' in season"),
        ("(labels, month) = (['Pasture'], 6)", "no patch can have 'Pasture' in labels, perhaps 'Pastures'"),
        ("season collate nocase = 'FALL'", "no patch can have 'FALL' in season"),
        ("season collate noaccent = 'Summer'", "no patch can have 'Summer' in season, perhaps 'summer'"),
        ("season = 'FALL' collate nocase", "no patch can have 'FALL' in season"),
        ("(season collate nocase, month) = ('FALL', 9)", "no patch can have 'FALL' in season"),
        ("list_contains(labels, 'pasture' collate nocase)", "no patch can have 'pasture' in labels"),
        ("lower(season) = 'Summer'", "no patch can have 'Summer' in season, perhaps 'summer'"),
        ("upper(season) = 'FALL'", "no patch can have 'FALL' in season; there are WINTER; "),
        ("coalesce(season, 'none') = 'non'", "no patch can have 'non' in season"),
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
        "country.contains('land') or contains(country, 'stria') or country ilike 'mor%' or country > 'M'",
        "contains(season, 'in') or season.contains('er') or contains(split, 'tra') or shard like 'none%'",
        "lower(country) = 'ireland' or coalesce(country, 'none') = 'none'",
        "labels[1] = 'Pastures' and season[1] = 's' and split[1:3] = 'tra'",
        "coalesce(labels[1], 'none') = 'none'",
        "labels[1][1] = 'P' or lower(labels[1])[1:4] = 'past' or contains(labels[1], 'forest')",
        "len(list_filter(labels, lambda x, i: i = 1 or x = 'Pastures' or x[1] = 'P' or contains(x, 'forest'))) > 0",
        "contains(labels::varchar, 'forest') or labels::varchar = '[Pastures]' or country between 'A' and 'Mordor'",
        "lower(labels[1]) = 'pastures'",
        "(country, month) = ('Ireland', 6) or (month, season) in ((6, 'summer'), (1, 'winter'))",
        "country collate nocase = 'IRELAND' or country = 'Irelánd' collate noaccent or upper(season) = 'SUMMER'",
        "list_contains(labels, 'PASTURES' collate nocase) or 'Ireland' in [country, season]",
    ],
)
def test_other_texts_are_left_alone(varied: Store, where: str) -> None:
    """A pattern, or a part of a text, passes for a mistyped name."""
    check_condition(where)
    rows_where(where, varied.index)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        *(
            (where, "no patch can have 'Irland' in country, perhaps 'Ireland'; there are Austria; Belgium; ")
            for where in (
                "country not in ('Irland')",
                "not country = 'Irland'",
                "'Irland' <> country",
                "country is distinct from 'Irland'",
                "country in ('Austria', 'Irland')",
                "COUNTRY::VARCHAR <> 'Irland'",
                "not list_contains(['Irland', 'Austria'], country)",
                "not contains(['Irland'], country)",
                "case country when 'Irland' then false else true end",
            )
        ),
        ("country <> 'Mordor'", "no patch can have 'Mordor' in country; there are Austria; "),
        ("shard <> 'train-0002'", "no patch can have 'train-0002' in shard, perhaps 'train-00002'; there are "),
    ],
)
def test_countries_and_shards_of_no_patch_are_refused(varied: Store, where: str, message: str) -> None:
    """`country not in ('Irland')` selects all patches without a word."""
    with pytest.raises(InvalidValue, match=re.escape(message)):
        rows_where(where, varied.index)
    # Another store may have what this one has not.
    check_condition(where)


@pytest.mark.parametrize("countries", [["Scotland", None], [None], ["Austria"]])
def test_countries_of_bigearthnet_and_of_the_store_are_taken(tmp_path: Path, countries: list[str | None]) -> None:
    """A condition for the whole dataset is refused for a part of it, or the countries of users' own patches are."""
    with shards.open(make_store(tmp_path / "store", {"train": 5, "validation": 2}, countries=countries)) as store:
        assert not len(rows_where("country in ('Finland', 'Kosovo', 'Switzerland')", store.index))
        if "Scotland" in countries:
            assert len(rows_where("country = 'Scotland'", store.index)) == 4
        else:
            with pytest.raises(InvalidValue, match="no patch can have 'Scotland' in country"):
                rows_where("country = 'Scotland'", store.index)


def test_texts_that_are_no_unicode_are_refused(varied: Store) -> None:
    """A condition from a command line of another encoding ends in an error of DuckDB."""
    for where in ("key = '\udc80'", "\ud800"):
        with pytest.raises(InvalidValue, match="condition "):
            rows_where(where, varied.index)
        with pytest.raises(InvalidValue, match="condition "):
            check_condition(where)
