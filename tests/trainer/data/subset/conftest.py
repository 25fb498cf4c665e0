"""A store whose patches differ in country and month."""

from collections.abc import Iterator
from datetime import datetime

import pytest

import shards
from shards import Store
from shards.testing.stores import make_store


@pytest.fixture(scope="session")
def varied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with three countries, one of them unknown, and a date in each month."""
    dates = [datetime(2017 + month // 7, month, 28, 10, 10, 31) for month in range(1, 13)]
    folder = tmp_path_factory.mktemp("where") / "store"
    counts = {"train": 130, "validation": 30, "test": 20}
    with shards.open(make_store(folder, counts, countries=["Ireland", None, "Austria"], dates=dates)) as store:
        yield store
