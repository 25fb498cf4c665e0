"""Tables and lists of splits, and annotations of patches: official, packed, and damaged ones."""

import bz2
import gzip
import os
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bigearth_pipeline.build.select import Rules, select_v2
from bigearth_pipeline.errors import BadPatch, PipelineError
from bigearth_pipeline.source.annotations import date_of_key, read_v1_annotation
from bigearth_pipeline.source.tables import (
    CLOUD_STEM,
    SNOW_STEM,
    SplitLists,
    find_split_lists,
    read_metadata,
    read_split_lists,
    refuse_no_match,
)
from bigearth_pipeline.source.tree import Version, find_source
from shards.layout.classes import decode_labels, encode_labels
from tests.support.data.scene import write_table


def test_official_v2_tables(v2_tree: Path) -> None:
    """Rows of the official tables get lost, or labels and flags are read wrong."""
    metadata = read_metadata(
        [v2_tree / "metadata.parquet", v2_tree / "metadata_for_patches_with_snow_cloud_or_shadow.parquet"]
    )
    assert len(metadata.row_of) == 549_488
    assert metadata.unknown_labels == {}
    assert int((metadata.snow | metadata.cloud).sum()) == 69_450
    row = metadata.row_of["S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_57"]
    assert decode_labels(int(metadata.label_masks[row])) == (
        "Arable land", "Broad-leaved forest", "Mixed forest", "Pastures",
    )  # fmt: skip
    assert (metadata.splits[row], metadata.countries[row]) == ("test", "Austria")
    assert metadata.country_of_v1["S2A_MSIL2A_20170613T101031_26_57"] == "Austria"


def test_official_v1_lists(v1_splits: Path) -> None:
    """Names of the official lists get lost, or land in another split."""
    lists = read_split_lists(v1_splits)
    counts = {split: list(lists.split_of.values()).count(split) for split in ("train", "validation", "test")}
    assert counts == {"train": 269_695, "validation": 123_723, "test": 125_866}
    assert (len(lists.snow), len(lists.cloud)) == (61_707, 9_280)


def test_lists_in_every_packing(tmp_path: Path) -> None:
    """A list that is packed otherwise, or has more columns, is not read."""
    (tmp_path / "train.csv").write_text("a,s1_a\nb,s1_b\n\n")
    (tmp_path / "val.csv.gz").write_bytes(gzip.compress(b"c\n"))
    (tmp_path / "test.csv.bz2").write_bytes(bz2.compress(b"d\r\ne\r\n"))
    assert read_split_lists(tmp_path).split_of == {
        "a": "train", "b": "train", "c": "validation", "d": "test", "e": "test",
    }  # fmt: skip
    (tmp_path / "test.csv.bz2").write_bytes(bz2.compress(b"a\n"))
    with pytest.raises(PipelineError, match="has patch a, which is also in split train"):
        read_split_lists(tmp_path)
    (tmp_path / "test.csv.bz2").write_bytes(b"BZh9 not really")
    with pytest.raises(PipelineError, match=r"test\.csv\.bz2 cannot be read"):
        read_split_lists(tmp_path)
    with pytest.raises(PipelineError, match=r"holds none of train\.csv"):
        read_split_lists(tmp_path / "..")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("train.csv", "train.csv.bz2"),
        ("test.csv.gz", "test.CSV"),
        ("val.csv", "validation.csv"),
        ("patches_with_seasonal_snow.csv", "patches_with_seasonal_snow.csv.gz"),
        ("patches_with_cloud_and_shadow.csv", "patches_with_cloud_and_shadow.CSV"),
    ],
)
def test_two_forms_of_one_list_are_refused(tmp_path: Path, one: str, other: str) -> None:
    """Of two forms of one list, one is read without a word, or both are mixed."""
    (tmp_path / "train.csv").write_text("a\n")
    for name in (one, other):
        (tmp_path / name).write_text(f"{name[0]}\n")
    with pytest.raises(PipelineError) as caught:
        read_split_lists(tmp_path)
    assert {str(tmp_path / one), str(tmp_path / other)} <= set(str(caught.value).replace(",", "").split())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["val.txt", "VAL.parquet", "validation", "test.csv.xz", f"{SNOW_STEM}.txt"])
def test_lists_of_unknown_endings_are_refused(tmp_path: Path, name: str) -> None:
    """A list is left unread without a word, for its ending."""
    (tmp_path / "train.csv").write_text("a\n")
    (tmp_path / "test").mkdir()
    for other in ("README.txt", "training.txt", "test-notes.txt"):
        (tmp_path / other).touch()
    assert read_split_lists(tmp_path).split_of == {"a": "train"}
    (tmp_path / name).write_text("b\n")
    with pytest.raises(PipelineError, match=rf"{re.escape(name)} .*expected .*\.csv"):
        read_split_lists(tmp_path)
    # Nobody named a folder that was found beside a source, and all kinds of files may be there.
    assert read_split_lists(tmp_path, found=True).split_of == {"a": "train"}


def test_endings_in_capitals_are_read(tmp_path: Path) -> None:
    """A list from another system is ignored for capitals in its name."""
    (tmp_path / "Train.CSV").write_text("a\n")
    (tmp_path / "val.csv.GZ").write_bytes(gzip.compress(b"b\n"))
    (tmp_path / "TEST.CSV.BZ2").write_bytes(bz2.compress(b"c\n"))
    (tmp_path / f"{SNOW_STEM}.CSV").write_text("a\n")
    assert find_split_lists([tmp_path]) == tmp_path
    lists = read_split_lists(tmp_path)
    assert lists.split_of == {"a": "train", "b": "validation", "c": "test"}
    assert lists.snow == {"a"}


def test_lists_in_a_folder_that_cannot_be_listed_are_found(tmp_path: Path) -> None:
    """A parent folder without the right to list it ends a build."""
    if os.geteuid() == 0:
        pytest.skip("root may list every folder")
    (tmp_path / "train.csv").write_text("a\n")
    tmp_path.chmod(0o311)
    try:
        assert find_split_lists([tmp_path]) == tmp_path
        assert read_split_lists(tmp_path).split_of == {"a": "train"}
    finally:
        tmp_path.chmod(0o755)


V1_NAMES = [f"S2A_MSIL2A_20170613T101031_0_{i}" for i in range(4)]
V2_NAMES = [f"S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_0_{i}" for i in range(4)]


@pytest.mark.parametrize(("version", "own", "foreign"), [("v1", V1_NAMES, V2_NAMES), ("v2", V2_NAMES, V1_NAMES)])
@pytest.mark.parametrize("stem", ["val", "test", SNOW_STEM, CLOUD_STEM])
def test_each_list_is_of_the_version_of_the_source(
    tmp_path: Path, version: Version, own: list[str], foreign: list[str], stem: str
) -> None:
    """One list of the other version has no effect, because another list matches."""
    folders = {own[0]: f"/{own[0]}"}
    (tmp_path / "train.csv").write_text(f"{own[0]}\n")
    path = tmp_path / f"{stem}.csv"
    path.write_text("\n".join(foreign))
    with pytest.raises(PipelineError) as caught:
        refuse_no_match(read_split_lists(tmp_path), folders, version)
    for fact in (f"{path}: none of its 4 names is in the source", foreign[0], own[0]):
        assert fact in str(caught.value)
    path.write_text("\n".join([*foreign, own[1]]))
    lists = read_split_lists(tmp_path)
    if version == "v2" and "patches" in stem:
        # Its table knows the flags already, so that a list without any effect is a mistake.
        with pytest.raises(PipelineError, match="none of its 5 names"):
            refuse_no_match(lists, folders, version)
    else:
        # A source of few patches has none of a whole list.
        refuse_no_match(lists, folders, version)
    if "patches" in stem:
        path.write_text("")
        refuse_no_match(read_split_lists(tmp_path), folders, version)


@pytest.mark.long
def test_official_v1_lists_are_taken_for_each_of_few_patches(v1_tree: Path, v1_splits: Path) -> None:
    """A small source is refused, because none of its patches is in one of the lists."""
    lists = read_split_lists(v1_splits)
    # Patches with snow or clouds are in no split.
    usable = {key: folder for key, folder in find_source(v1_tree).folders() if key in lists.split_of}
    assert len(usable) >= 3
    for key, folder in usable.items():
        refuse_no_match(lists, {key: folder}, "v1")


@pytest.mark.parametrize("listed", [None, frozenset(), frozenset({"0_2"}), frozenset({"0_0", "0_7"})])
def test_lists_add_flags_to_those_of_v2_tables(tmp_path: Path, listed: frozenset[str] | None) -> None:
    """A list turns the flag of a table off, and a patch with snow or clouds enters training."""
    keys = [f"S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_0_{i}" for i in range(8)]
    path = tmp_path / "metadata.parquet"
    told = [False, False, True, None, False, True, None, False]
    write_table(path, keys, contains_seasonal_snow=told, contains_cloud_or_shadow=told[::-1])
    names = None if listed is None else frozenset(key for key in keys if key[-3:] in listed)
    lists = SplitLists(dict.fromkeys(keys, "train"), names, names, ())
    folders = {key: f"/{key}" for key in keys}
    entries = select_v2(folders, read_metadata([path]), Rules(include_snow_cloud=True), lists).entries
    assert [entry.key for entry in entries] == keys
    for flags, table in (
        ([entry.seasonal_snow for entry in entries], told),
        ([entry.cloud_or_shadow for entry in entries], told[::-1]),
    ):
        assert flags == [
            flag if names is None else bool(flag) or key in names for flag, key in zip(table, keys, strict=True)
        ]


def test_damaged_tables_are_one_clear_error(tmp_path: Path) -> None:
    """A wrong table ends in a traceback, or in patches without labels."""
    path = tmp_path / "metadata.parquet"
    with pytest.raises(PipelineError, match="does not exist"):
        read_metadata([path])
    path.write_bytes(b"PAR1 no")
    with pytest.raises(PipelineError, match="not readable as Parquet"):
        read_metadata([path])
    pq.write_table(pa.table({"patch_id": ["a"], "split": ["train"]}), path)
    with pytest.raises(PipelineError, match="lacks the columns labels, country"):
        read_metadata([path])
    write_table(path, ["a", "a"])
    with pytest.raises(PipelineError, match="two rows for patch a"):
        read_metadata([path])
    write_table(path, ["a"], split=["holdout"])
    with pytest.raises(PipelineError, match="split 'holdout', expected train"):
        read_metadata([path])
    write_table(path, ["a"], labels=["Pastures"])
    with pytest.raises(PipelineError, match="expected a list of names"):
        read_metadata([path])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is missing"),
        ("{", "labels_metadata.json"),
        ("[1]", "expected an object with labels and acquisition_date"),
        ('{"labels": ["Pastures"]}', "lacks 'acquisition_date'"),
        ('{"labels": "Pastures", "acquisition_date": "2017-01-01 00:00:00"}', "labels is 'Pastures', expected a list"),
        ('{"labels": ["Moon"], "acquisition_date": "2017-01-01 00:00:00"}', "'Moon' is not in the 43-class"),
        (
            '{"labels": ["Pastures"], "acquisition_date": "yesterday"}',
            "date is 'yesterday', expected one of ISO",
        ),
    ],
)
def test_a_damaged_annotation_names_its_file(tmp_path: Path, content: str | None, message: str) -> None:
    """A broken JSON file ends in a traceback, or in a patch without labels."""
    if content is not None:
        (tmp_path / "p_labels_metadata.json").write_text(content)
    with pytest.raises(BadPatch, match=message):
        read_v1_annotation("p", str(tmp_path))


NO_TIMES = ("20181304T094156", "20180204T240000", "20180204T094160", "20180229T094156", "00000204T094156", "20180204")


def test_v2_dates_come_from_the_name() -> None:
    """A v2 patch gets another date than that of its product."""
    assert date_of_key("S2B_MSIL2A_20180204T094161_N9999_R036_T35VPK_57_38"[:11] + "20180204T094156_N9999_0_1") == (
        "2018-02-04T09:41:56"
    )
    for key in ("patch_1", *(f"S2B_MSIL2A_{time}_N9999_R036_T35VPK_57_38" for time in NO_TIMES)):
        with pytest.raises(BadPatch, match="no sensing time"):
            date_of_key(key)


def test_labels_survive_the_way_through_the_table(tmp_path: Path) -> None:
    """Label masks of a table differ from its names."""
    write_table(tmp_path / "m.parquet", [f"p{i}" for i in range(60)])
    names = pq.read_table(tmp_path / "m.parquet")["labels"].to_pylist()
    assert read_metadata([tmp_path / "m.parquet"]).label_masks.tolist() == [encode_labels(labels) for labels in names]
