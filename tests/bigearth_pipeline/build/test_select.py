"""Selection of patches, on tables and lists in memory: each rule, and the facts that a taken patch gets."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigearth_pipeline.build.plan import PatchEntry, hash_split
from bigearth_pipeline.build.select import (
    CLOUD,
    LIMIT,
    NO_FOLDER,
    NO_LABEL,
    NO_ROW,
    NO_SPLIT,
    SNOW,
    Quarantined,
    Rules,
    select_v1,
    select_v2,
    unique_folders,
)
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.source.annotations import Annotation
from bigearth_pipeline.source.tables import Metadata, SplitLists
from shards.layout.shuffle import shuffle_rank

V2 = "S2A_MSIL2A_20170613T101031_{}_R022_T33UUP_{}_{}"
DATE = "2017-06-13T10:10:31"
FLAGS = (None, False, True)


def key_of(number: int, baseline: str = "N9999") -> str:
    return V2.format(baseline, number // 90, number % 90)


def metadata_of(rows: Sequence[Mapping[str, Any]], country_of_v1: Mapping[str, str] | None = None) -> Metadata:
    """Return the table of rows, each of which says what differs from a patch that is taken."""
    flags = {name: [row.get(name, False) for row in rows] for name in ("snow", "cloud")}
    return Metadata(
        row_of={row["key"]: i for i, row in enumerate(rows)},
        label_masks=np.array([row.get("labels", 5) for row in rows], np.uint32),
        unknown_labels={i: row["unknown"] for i, row in enumerate(rows) if "unknown" in row},
        splits=[row.get("split", "train") for row in rows],
        countries=[row.get("country") for row in rows],
        snow=np.array([bool(flag) for flag in flags["snow"]], np.bool_),
        cloud=np.array([bool(flag) for flag in flags["cloud"]], np.bool_),
        snow_known=np.array([flag is not None for flag in flags["snow"]], np.bool_),
        cloud_known=np.array([flag is not None for flag in flags["cloud"]], np.bool_),
        country_of_v1=dict(country_of_v1 or {}),
    )


def lists_of(
    split_of: Mapping[str, str] | None = None,
    snow: frozenset[str] | None = None,
    cloud: frozenset[str] | None = None,
) -> SplitLists:
    return SplitLists(dict(split_of or {}), snow, cloud, ((Path("train.csv"), ()),))


def select(rows: Sequence[Mapping[str, Any]], rules: Rules | None = None, lists: SplitLists | None = None) -> Any:
    """Select from a v2 tree that has a folder for each row."""
    return select_v2({row["key"]: f"/{row['key']}" for row in rows}, metadata_of(rows), rules or Rules(), lists)


def test_folders_of_names_are_unique_and_sorted() -> None:
    """The folder that is kept depends on the order of a listing, or what is wrong with the other is not said."""
    found = [("b", "/2/b"), ("a", "/1/a"), ("b", "/1/b"), ("a.x", "/1/a.x"), ("b", "/3/b")]
    folders, bad = unique_folders(found)
    assert list(folders.items()) == [("a", "/1/a"), ("b", "/1/b")]
    assert bad == [
        Quarantined("a.x", "/1/a.x", "unsafe patch name, expected letters, digits, '_' and '-' only"),
        Quarantined("b", "/2/b", "duplicate of /1/b"),
        Quarantined("b", "/3/b", "duplicate of /1/b"),
    ]


def test_a_patch_of_a_table_gets_its_facts() -> None:
    """A fact of a patch is that of another row, or of another column."""
    rows = [
        {"key": key_of(1), "labels": 3, "split": "test", "country": "Austria", "snow": None, "cloud": False},
        {"key": key_of(2, "N0400"), "labels": 1 << 18, "split": "validation", "snow": False, "cloud": None},
    ]
    selection = select(rows, Rules(offset="none"))
    assert selection.entries == [
        PatchEntry(key_of(1), f"/{key_of(1)}", "test", 3, "Austria", DATE, None, False, 9999, False),
        PatchEntry(key_of(2, "N0400"), f"/{key_of(2, 'N0400')}", "validation", 1 << 18, None, DATE, False, None, 400),
    ]
    assert (selection.left_out, selection.bad, selection.unmatched, selection.num_split_by_name) == ({}, [], [], 0)
    assert isinstance(selection.entries[0].label_mask, int)


def test_every_patch_that_is_not_taken_has_its_reason() -> None:
    """A patch is left out for another reason than the one that holds, is counted twice, or stops those after it."""
    rows = [
        {"key": key_of(0), "labels": 0, "snow": True},
        {"key": key_of(1), "snow": True, "cloud": True},
        {"key": key_of(2), "cloud": True, "split": None},
        {"key": key_of(3), "split": None},
        {"key": key_of(4), "unknown": None},
        {"key": key_of(5), "unknown": "Moon"},
        {"key": "no_date"},
        {"key": key_of(6)},
    ]
    metadata = metadata_of([*rows, {"key": "zz"}, {"key": "absent"}])
    folders = {key_of(7): "/7", **{row["key"]: f"/{row['key']}" for row in rows}}
    lists = lists_of({key_of(6): "test", "listed": "train", **{key_of(i): "train" for i in (0, 1, 4, 5)}})
    for given_lists, named in ((None, []), (lists, ["listed"])):
        selection = select_v2(folders, metadata, Rules(), given_lists)
        assert [entry.key for entry in selection.entries] == [key_of(6)]
        assert selection.entries[0].split == ("test" if given_lists else "train")
        assert selection.left_out == {NO_ROW: 1, NO_LABEL: 1, SNOW: 1, CLOUD: 1, NO_SPLIT: 1}
        assert [(bad.key, bad.folder) for bad in selection.bad] == [
            (key, f"/{key}") for key in (key_of(4), key_of(5), "no_date")
        ]
        assert [bad.reason for bad in selection.bad][:2] == [
            "its labels are null in the table",
            "label 'Moon' is not in the 19-class nomenclature",
        ]
        assert "no_date" in selection.bad[2].reason
        absent = [(NO_FOLDER, key) for key in ("absent", *named, "zz")]
        assert selection.unmatched == [(NO_ROW, key_of(7)), *absent]


@given(st.sampled_from(FLAGS), st.sampled_from(FLAGS), st.sampled_from(FLAGS), st.sampled_from(FLAGS))
def test_lists_add_to_the_flags_of_a_table(
    snow: bool | None, cloud: bool | None, snow_listed: bool | None, cloud_listed: bool | None
) -> None:
    """A list clears the flag of a table, or a flag that nothing tells counts as clear."""
    key = key_of(1)

    def listed(flag: bool | None) -> frozenset[str] | None:
        return None if flag is None else frozenset([key] if flag else ["other"])

    def expected(table: bool | None, flag: bool | None) -> bool | None:
        known = [one for one in (table, flag) if one is not None]
        return any(known) if known else None

    lists = lists_of({key: "test"}, listed(snow_listed), listed(cloud_listed))
    rules = Rules(include_snow_cloud=True)
    (entry,) = select([{"key": key, "snow": snow, "cloud": cloud}], rules, lists).entries
    assert entry.seasonal_snow is expected(snow, snow_listed)
    assert entry.cloud_or_shadow is expected(cloud, cloud_listed)
    taken = select([{"key": key, "snow": snow, "cloud": cloud}], Rules(), lists)
    assert len(taken.entries) == (not entry.seasonal_snow and not entry.cloud_or_shadow)


def test_a_name_decides_the_split_only_of_a_patch_without_one() -> None:
    """Patches move from their split to that of their name, or those that did are counted wrong."""
    rows = [{"key": key_of(i), "split": None if i % 3 else "test", "labels": 1 if i % 5 else 0} for i in range(30)]
    shares = (40, 30, 30)
    selection = select(rows, Rules(split_by=shares))
    for entry in selection.entries:
        number = next(i for i in range(30) if key_of(i) == entry.key)
        assert entry.split == (hash_split(entry.key, shares) if number % 3 else "test")
    assert len({entry.split for entry in selection.entries}) == 3
    assert selection.num_split_by_name == 20
    assert selection.left_out == {NO_LABEL: 6}
    without = select(rows)
    assert (without.num_split_by_name, without.left_out[NO_SPLIT]) == (0, 16)


@pytest.mark.parametrize("limit", [None, 0, 1, 19, 20, 21])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_limit_takes_the_first_of_the_shuffle(limit: int | None, seed: int) -> None:
    """A limit takes the first of the tree, another number, or says nothing of the rest."""
    rows = [{"key": key_of(i)} for i in range(20)]
    selection = select(rows, Rules(limit=limit, seed=seed))
    ranked = sorted((key_of(i) for i in range(20)), key=lambda key: shuffle_rank(key, seed))
    if limit is not None and limit < 20:
        assert [entry.key for entry in selection.entries] == ranked[:limit]
        assert selection.left_out == {LIMIT: 20 - limit}
    else:
        assert [entry.key for entry in selection.entries] == [key_of(i) for i in range(20)]
        assert selection.left_out == {}


def test_the_offset_is_that_of_the_baseline() -> None:
    """Patches with and without the offset are mixed without a word, or the offset is taken from the wrong ones."""
    rows = [{"key": key_of(i, baseline)} for i, baseline in enumerate(["N0400", "N9999", "N0301", "N0510"])]
    with pytest.raises(PipelineError, match="offset"):
        select(rows)
    assert len(select([rows[0], rows[3]]).entries) == 2
    assert not any(entry.harmonise for entry in select([rows[0], rows[3]]).entries)
    assert [entry.harmonise for entry in select(rows, Rules(offset="auto")).entries] == [True, False, False, True]
    assert not any(entry.harmonise for entry in select(rows, Rules(offset="none")).entries)
    # Only what is taken must be of one kind.
    assert len(select([rows[0], rows[1] | {"snow": True}]).entries) == 1


# Version 1.

PLAIN = "S2A_MSIL2A_20300101T000000_{}_1"
SNOWY, CLOUDY = "S2B_MSIL2A_20170831T095029_27_76", "S2A_MSIL2A_20170717T113321_35_89"
"""Of the authors' lists, which the package knows."""


def select_annotated(
    annotations: Mapping[str, Annotation | str],
    lists: SplitLists | None = None,
    metadata: Metadata | None = None,
    rules: Rules | None = None,
) -> Any:
    """Select from a v1 tree whose JSON files say this."""
    folders = {key: f"/{key}" for key in annotations}

    def annotate(patches: Sequence[tuple[str, str]]) -> list[Annotation | str]:
        assert list(patches) == list(folders.items())
        return list(annotations.values())

    return select_v1(folders, annotate, lists, metadata, rules or Rules())


def test_a_patch_of_v1_gets_its_facts() -> None:
    """A fact of a patch of v1 is lost, or one of two lists is taken for the other."""
    first, second, third = (PLAIN.format(i) for i in range(3))
    annotations: dict[str, Any] = {
        first: Annotation(3, DATE, 5),
        second: "no JSON",
        third: Annotation(4, "2018-01-01T00:00:00", 6),
    }
    lists = lists_of({first: "train", third: "test", "z": "train", "y": "test"}, frozenset([third]), frozenset())
    selection = select_annotated(
        annotations, lists, metadata_of([{"key": "x"}], {first: "Austria"}), Rules(include_snow_cloud=True)
    )
    assert selection.entries == [
        PatchEntry(first, f"/{first}", "train", 3, "Austria", DATE, False, False, labels43=5),
        PatchEntry(third, f"/{third}", "test", 4, None, "2018-01-01T00:00:00", True, False, labels43=6),
    ]
    assert selection.bad == [Quarantined(second, f"/{second}", "no JSON")]
    assert selection.unmatched == [(NO_FOLDER, "y"), (NO_FOLDER, "z")]
    assert select_annotated(annotations, lists).left_out == {SNOW: 1}
    without = select_annotated(annotations)
    assert (without.unmatched, without.left_out) == ([], {NO_SPLIT: 2})
    limited = select_annotated(annotations, lists, None, Rules(include_snow_cloud=True, limit=1))
    assert (len(limited.entries), limited.left_out) == (1, {LIMIT: 1})


@pytest.mark.parametrize("snow_list", [None, frozenset([CLOUDY])])
@pytest.mark.parametrize("cloud_list", [None, frozenset([SNOWY])])
def test_what_the_package_knows_stands_in_for_each_list(
    snow_list: frozenset[str] | None, cloud_list: frozenset[str] | None
) -> None:
    """A list beside the source is ignored, or one list switches off what the package knows of the other flag."""
    keys = (SNOWY, CLOUDY, PLAIN.format(0))
    lists = lists_of(dict.fromkeys(keys, "train"), snow_list, cloud_list)
    entries = select_annotated(
        dict.fromkeys(keys, Annotation(1, DATE, 1)), lists, rules=Rules(include_snow_cloud=True)
    ).entries
    known_snow, known_cloud = (True, False, None), (False, True, None)
    assert tuple(entry.seasonal_snow for entry in entries) == (
        known_snow if snow_list is None else (False, True, False)
    )
    assert tuple(entry.cloud_or_shadow for entry in entries) == (
        known_cloud if cloud_list is None else (True, False, False)
    )
