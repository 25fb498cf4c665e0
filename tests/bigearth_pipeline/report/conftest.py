"""Small stores, and their pages."""

from datetime import datetime
from pathlib import Path

import pytest

from bigearth_pipeline.build.config import BuildConfig
from bigearth_pipeline.build.reports import write_quarantine, write_unmatched
from bigearth_pipeline.build.select import NO_FOLDER, Quarantined, Selection
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


def with_lists(folder: Path) -> Path:
    """Add the lists of a build that could not use three patches, whose names and paths are long, to a store."""
    name = "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_5"
    paths = [f"/data/BigEarthNet-S2/{name[:-5]}/{name}{i}" for i in range(3)]
    bad = [
        Quarantined(f"{name}{i}", path, f"{path}/{name}{i}_B02.tif ends at byte 500") for i, path in enumerate(paths)
    ]
    write_quarantine(folder, bad)
    write_unmatched(BuildConfig(sources=(), out=folder), Selection(unmatched=[(NO_FOLDER, name)]))
    return folder


@pytest.fixture(scope="package")
def tar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WebDataset store of 34 patches in several countries and months."""
    return with_lists(make_store(tmp_path_factory.mktemp("report") / "tar", COUNTS, countries=COUNTRIES, dates=DATES))


@pytest.fixture(scope="package")
def zarr(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same patches as a Zarr store."""
    folder = tmp_path_factory.mktemp("report") / "zarr"
    return with_lists(make_store(folder, COUNTS, countries=COUNTRIES, dates=DATES, format="zarr"))


@pytest.fixture(scope="package")
def content(tar: Path) -> bytes:
    """The report of the WebDataset store."""
    return store_report(tar, per_class=1)


@pytest.fixture(scope="package")
def page(content: bytes) -> Html:
    """The report of the WebDataset store, parsed."""
    return Html.of(content)
