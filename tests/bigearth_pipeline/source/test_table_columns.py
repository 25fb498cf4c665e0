"""Version 2 tables of every writer read equal, and others are one line."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.source.tables import Metadata, read_metadata

KEYS = [f"S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_0_{i}" for i in range(6)]
LABELS = [["Pastures"], ["Arable land", "Urban fabric"], [], ["Beaches, dunes, sands"], ["Pastures"], ["Pastures"]]
SPLITS = ["train", "validation", "test", None, "train", "test"]
COUNTRIES = ["Austria", None, "Austria", "Ireland", "Austria", "Ireland"]
SNOW = [False, True, False, False, True, False]
CLOUD = [True, False, None, False, False, False]


def table(**columns: Any) -> pa.Table:
    """Return the table in plain types, with some columns replaced."""
    plain = {
        "patch_id": pa.array(KEYS),
        "labels": pa.array(LABELS, pa.list_(pa.string())),
        "split": pa.array(SPLITS),
        "country": pa.array(COUNTRIES),
        "s2v1_name": pa.array([f"v1_{i}" for i in range(6)]),
        "contains_seasonal_snow": pa.array(SNOW),
        "contains_cloud_or_shadow": pa.array(CLOUD),
    }
    return pa.table(plain | columns)


def read(tmp_path: Path, found: pa.Table, **options: Any) -> Metadata:
    pq.write_table(found, tmp_path / "m.parquet", **options)
    return read_metadata([tmp_path / "m.parquet"])


def facts(metadata: Metadata) -> list[Any]:
    arrays = (metadata.label_masks, metadata.snow, metadata.cloud, metadata.snow_known, metadata.cloud_known)
    others = (metadata.row_of, metadata.unknown_labels, metadata.splits, metadata.countries, metadata.country_of_v1)
    return [*others, *(array.tolist() for array in arrays)]


def _texts(kind: pa.DataType) -> dict[str, Any]:
    lists = pa.array(LABELS, pa.list_(pa.string()))
    return {
        "patch_id": pa.array(KEYS).cast(kind),
        "split": pa.array(SPLITS).cast(kind),
        "country": pa.array(COUNTRIES).cast(kind),
        "labels": pa.ListArray.from_arrays(lists.offsets, lists.values.cast(kind)),
    }


DIALECTS: dict[str, dict[str, Any]] = {
    "large_string": _texts(pa.large_string()),
    "string_view": {name: pa.array(values, pa.string_view()) for name, values in
                    (("patch_id", KEYS), ("split", SPLITS), ("country", COUNTRIES))},
    "binary": {"country": pa.array(COUNTRIES).cast(pa.binary())},
    "dictionary": {name: pa.array(values).dictionary_encode() for name, values in
                   (("patch_id", KEYS), ("split", SPLITS), ("country", COUNTRIES))},
    "large_list": {"labels": pa.array(LABELS, pa.large_list(pa.large_string()))},
    "flags as int": {"contains_seasonal_snow": pa.array([int(flag) for flag in SNOW], pa.int8())},
    "flags as float": {"contains_cloud_or_shadow": pa.array([1.0, 0.0, float("nan"), 0.0, 0.0, 0.0])},
    "flags as text": {"contains_seasonal_snow": pa.array(["False", "true", "0", "no", "TRUE", "false"])},
    "flags as categories": {"contains_seasonal_snow": pa.array([str(flag) for flag in SNOW]).dictionary_encode()},
}  # fmt: skip


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_writer_of_the_same_facts_reads_equal(tmp_path: Path, dialect: str) -> None:
    """A table that another library has written gives other labels, splits or flags, or none."""
    expected = facts(read(tmp_path, table()))
    for options in ({}, {"store_schema": False}, {"use_dictionary": False}, {"row_group_size": 2}):
        assert facts(read(tmp_path, table(**DIALECTS[dialect]), **options)) == expected


def test_a_round_trip_through_pandas_reads_equal(tmp_path: Path) -> None:
    """A table that was opened and saved with pandas is refused, or read as another one."""
    pandas = pytest.importorskip("pandas")
    expected = facts(read(tmp_path, table()))
    path = tmp_path / "m.parquet"
    frame = pq.read_table(path).to_pandas()
    for changed in (frame, frame.astype({"split": "category", "country": "category"}), frame.set_index("patch_id")):
        changed.to_parquet(path)
        assert facts(read_metadata([path])) == expected
    assert isinstance(frame, pandas.DataFrame)


def test_two_tables_of_different_types_are_one(tmp_path: Path) -> None:
    """A table beside another one is refused for its types, or its rows are read wrong."""
    expected = facts(read(tmp_path, table()))
    whole = table(**DIALECTS["large_list"], **DIALECTS["dictionary"], **DIALECTS["flags as int"])
    pq.write_table(table().slice(0, 3), tmp_path / "a.parquet")
    pq.write_table(whole.slice(3), tmp_path / "b.parquet")
    assert facts(read_metadata([tmp_path / "a.parquet", tmp_path / "b.parquet"])) == expected
    with pytest.raises(PipelineError, match=r"a\.parquet is named twice"):
        read_metadata([tmp_path / "a.parquet", tmp_path / "a.parquet"])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"labels": pa.array(["Pastures"] * 6)}, "column labels has type string, expected a list of names"),
        ({"labels": pa.nulls(6)}, "column labels has type null, expected a list of names"),
        ({"labels": pa.array([[1]] * 6)}, "column labels has type list<.*int64>, expected a list of names"),
        ({"labels": pa.array([[["a"]]] * 6)}, "column labels has type list<.*list.*>, expected a list of names"),
        ({"labels": pa.array([{"a": 1}] * 6)}, "column labels has type struct<a: int64>, expected a list of names"),
        ({"patch_id": pa.array(range(6))}, "column patch_id has type int64, expected text"),
        ({"patch_id": pa.array([*KEYS[:5], None])}, "no patch_id in row 6"),
        ({"split": pa.array([1.0] * 6)}, "column split has type double, expected text"),
        ({"country": pa.array([["Austria"]] * 6)}, "column country has type list<.*>, expected text"),
        ({"country": pa.array(["x" * 2000] * 6)}, "column country has a text of 2,000 bytes, expected at most 1,024"),
        ({"country": pa.array([b"\xff"] * 6)}, "column country of type .*: Invalid UTF8"),
        ({"contains_seasonal_snow": pa.array([2] * 6)}, "contains_seasonal_snow has the value 2, expected true or"),
        ({"contains_seasonal_snow": pa.array(["maybe"] * 6)}, "has the value 'maybe', expected true or false"),
        ({"contains_seasonal_snow": pa.array([[True]] * 6)}, "has type list<.*bool>, expected true or false"),
    ],
)
def test_other_types_are_one_line(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    """A table of other types ends in a traceback, or its patches get no labels."""
    with pytest.raises(PipelineError, match=message) as caught:
        read(tmp_path, table(**columns))
    assert "m.parquet" in str(caught.value) or "row 6" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_encoding_that_is_not_read_is_one_line_with_a_way_out(tmp_path: Path) -> None:
    """A sound table of version 2, as DuckDB writes it on demand, is called damaged, and nothing says what to do."""
    options = {"use_dictionary": False, "column_encoding": {"patch_id": "DELTA_LENGTH_BYTE_ARRAY"}}
    with pytest.raises(PipelineError, match=r"m\.parquet has an encoding that is not read here .* write it again"):
        read(tmp_path, table(), **options)


def test_null_labels_are_told_from_none(tmp_path: Path) -> None:
    """A patch whose labels are unknown counts as one without any of the 19 classes."""
    metadata = read(tmp_path, table(labels=pa.array([*LABELS[:4], None, ["Pastures", None]], pa.list_(pa.string()))))
    assert metadata.unknown_labels == {4: None, 5: None}
    assert metadata.label_masks[2] == 0


def test_tables_of_absurd_size_are_refused_before_they_are_read(tmp_path: Path) -> None:
    """Some kilobytes of Parquet take all memory."""
    rows = 12_000_000
    path = tmp_path / "m.parquet"
    pq.write_table(pa.table({"patch_id": pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), ["a"])}), path)
    with pytest.raises(PipelineError, match="12,000,000 rows, expected at most 2,000,000"):
        read_metadata([path])
    long = pa.DictionaryArray.from_arrays(np.zeros(1_000_000, np.int32), ["x" * 1_000_000])
    plain = {name: pa.nulls(1_000_000) for name in ("split", "contains_seasonal_snow", "contains_cloud_or_shadow")}
    labels = pa.nulls(1_000_000, pa.list_(pa.string()))
    pq.write_table(pa.table({"patch_id": long, "labels": labels, "country": long} | plain), path)
    assert path.stat().st_size < 5_000_000
    with pytest.raises(PipelineError, match="a text of 1,000,000 bytes"):
        read_metadata([path])


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    """A pipe holds a build for ever."""
    os.mkfifo(tmp_path / "m.parquet")
    for path, what in ((tmp_path / "m.parquet", "named pipe"), (tmp_path, "folder"), (Path("/dev/zero"), "device")):
        with pytest.raises(PipelineError, match=what):
            read_metadata([path])


def test_reading_starts_no_thread(v2_tree: Path) -> None:
    """A thread of Arrow that releases the table's bytes while Python ends aborts the process after an early error."""
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from bigearth_pipeline.source.tables import read_metadata\n"
        "before = len(os.listdir('/proc/self/task'))\n"
        "read_metadata([Path(sys.argv[1])])\n"
        "assert len(os.listdir('/proc/self/task')) == before\n"
    )
    subprocess.run([sys.executable, "-c", script, str(v2_tree / "metadata.parquet")], check=True, timeout=120)
