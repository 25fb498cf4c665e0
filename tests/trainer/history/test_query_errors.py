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
    assert 'Referenced column "rate" not found' in str(caught.value)
