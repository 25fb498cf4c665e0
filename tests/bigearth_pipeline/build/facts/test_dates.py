"""Dates of patches."""

import json
import os
import shutil
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shards
from bigearth_pipeline.build.select import Rules
from bigearth_pipeline.errors import BadPatch
from bigearth_pipeline.source.annotations import read_v1_annotation, utc_seconds
from bigearth_pipeline.verify.store import verify_store
from tests.support.data.building import build_store

dates = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1))
zones = st.none() | st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(
    lambda delta: timezone(timedelta(minutes=delta // timedelta(minutes=1)))
)


@given(dates, zones, st.sampled_from(["T", " "]))
def test_dates_are_whole_seconds_of_utc(date: datetime, zone: timezone | None, separator: str) -> None:
    """A date of v1 is stored otherwise than it is compared."""
    text = utc_seconds(date.replace(tzinfo=zone).isoformat(separator))
    expected = date.replace(tzinfo=zone or UTC).astimezone(UTC).replace(tzinfo=None, microsecond=0)
    assert text == expected.isoformat()
    assert utc_seconds(text) == text
    assert np.datetime64(text, "s").astype(datetime) == expected


@pytest.mark.parametrize(
    "date", [None, 5, "", "yesterday", "2017-02-30", "0001-01-01T00:00:00+02:00", ["2017-01-01"], {"a": 1}, True]
)
def test_what_is_no_date_is_a_bad_patch(tmp_path: Path, date: object) -> None:
    """A wrong date ends the build in a traceback."""
    (tmp_path / "p_labels_metadata.json").write_text(json.dumps({"labels": ["Pastures"], "acquisition_date": date}))
    with pytest.raises(BadPatch, match="p_labels_metadata"):
        read_v1_annotation("p", str(tmp_path))


def test_annotations_of_other_kinds_are_bad_patches(tmp_path: Path) -> None:
    """A pipe in place of an annotation holds the build for ever, or nested JSON ends it."""
    os.mkfifo(tmp_path / "p_labels_metadata.json")
    with pytest.raises(BadPatch, match="named pipe"):
        read_v1_annotation("p", str(tmp_path))
    for content in ("[" * 200_000, '{"labels": [{}], "acquisition_date": "2017-01-01"}', "x" * (2 << 20)):
        (tmp_path / "q_labels_metadata.json").write_text(content)
        with pytest.raises(BadPatch):
            read_v1_annotation("q", str(tmp_path))


@pytest.mark.long
@pytest.mark.parametrize(
    ("forms", "found"),
    [
        (
            ["2017-06-13T10:10:31Z", "2017-06-13 10:10:31.999999", "2017-06-13T12:10:31+02:00", "20170613T101031",
             "2017-06-13T10:10:31,5Z", "2017-06-13T00:10:31.25-10:00"],
            {datetime(2017, 6, 13, 10, 10, 31)},
        ),
        (
            ["0001-01-01", "0001-01-01T00:00:00.5", "0001-01-01T01:00:00+01:00", "9999-12-31T23:59:59.999999",
             "9999-12-31T23:59:59Z", "9999-12-31T22:59:59-01:00"],
            {datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59)},
        ),
    ],
)  # fmt: skip
def test_a_store_with_odd_dates_is_sound(
    v1_tree: Path, scheduler: str, tmp_path: Path, forms: list[str], found: set[datetime]
) -> None:
    """A fresh store fails its own check for the dates of its source, or cannot be opened."""
    tree = tmp_path / "tree"
    shutil.copytree(v1_tree / "BigEarthNet-S2-Example", tree)
    for folder, date in zip(sorted(tree.iterdir()), forms, strict=True):
        path = folder / f"{folder.name}_labels_metadata.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"acquisition_date": date}))
    rules = Rules(include_snow_cloud=True, split_by=(100, 0, 0))
    build_store(tmp_path / "s", tree, scheduler=scheduler, rules=rules)
    assert verify_store(tmp_path / "s", against=[tree]).problems == []
    with shards.open(tmp_path / "s") as store:
        assert {store.read(row).date for row in range(6)} == found
