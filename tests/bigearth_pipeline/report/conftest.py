"""Small stores, and their pages."""

from datetime import datetime
from pathlib import Path

import pytest

from bigearth_pipeline.report.store.report import store_report
from shards.testing.stores import make_store
from tests.bigearth_pipeline.report.pages import Html

COUNTS = {"train": 20, "validation": 8, "test": 6}
COUNTRIES = ("Ireland", "Serbia", None, "Ireland")
DATES = (
    datetime(2017, 6, 13),
    datetime(2017, 12, 1),
    datetime(2018, 1, 5, 9, 30),
    datetime(2018, 5, 9),
    datetime(2017, 10, 2),
)


@pytest.fixture(scope="package")
def tar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WebDataset store of 34 patches in several countries and months."""
    return make_store(tmp_path_factory.mktemp("report") / "tar", COUNTS, countries=COUNTRIES, dates=DATES)


@pytest.fixture(scope="package")
def zarr(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same patches as a Zarr store."""
    folder = tmp_path_factory.mktemp("report") / "zarr"
    return make_store(folder, COUNTS, countries=COUNTRIES, dates=DATES, format="zarr")


@pytest.fixture(scope="package")
def content(tar: Path) -> bytes:
    """The report of the WebDataset store."""
    return store_report(tar, per_class=1)


@pytest.fixture(scope="package")
def page(content: bytes) -> Html:
    """The report of the WebDataset store, parsed."""
    return Html.of(content)
