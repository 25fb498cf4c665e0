"""Errors of SQL expressions over runs."""

import pyarrow as pa
import pytest

from shards.errors import InvalidValue
from trainer.history import query


def test_the_kind_of_an_error_is_left_out() -> None:
    """The line begins with DuckDB's name of the kind of error, in front of the part that helps."""
    table = pa.table({"_row": [0], "lr": [0.1]})
    with pytest.raises(InvalidValue) as caught:
        query._values(table, "condition", "rate < 1", "{}")
    assert "Binder Error" not in str(caught.value)
    assert "there is no column rate" in str(caught.value)


@pytest.mark.parametrize(
    ("expression", "fact"),
    [
        ("test_ap_macro", "there is no column test_ap_macro, perhaps test.ap_macro; columns are"),
        ("test.ap_marco > 1", "there is no column test.ap_marco, perhaps test.ap_macro; columns are"),
        ("lr", "there is no column lr, perhaps optimisation.lr; columns are"),
        ("zzz", "there is no column zzz; columns are"),
        ('optimisation.lr = "zzz"', "there is no column zzz (texts stand between single quotes: 'zzz'); columns are"),
        ("test.ap_macro === 1", "the operator === does not exist, perhaps ="),
        ("nothing(1)", "the function nothing does not exist"),
        ("test = 'a'", "it compares a whole table of options or scores, expected one of them"),
        ("test.ap_macro +", 'is not a single SQL expression: syntax error at or near "+"'),
        ("(test.ap_macro", "is not a single SQL expression: syntax error"),
    ],
)
def test_errors_are_about_what_was_typed(expression: str, fact: str) -> None:
    """The line speaks of operators and brackets that nobody has typed, or names no column that may be meant."""
    table = pa.Table.from_pylist([{"_row": 0, "test": {"ap_macro": 0.1}, "optimisation": {"lr": 0.1}}])
    with pytest.raises(InvalidValue) as caught:
        query._values(table, "condition", expression, "{}")
    assert fact in str(caught.value)
    assert 'near ")"' not in str(caught.value)
