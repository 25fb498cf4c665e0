"""Patches of a source that are taken, and the count of those that are left out, by reason."""

from pathlib import Path

import pytest

from bigearth_pipeline.build.select import (
    CLOUD,
    LIMIT,
    NO_FOLDER,
    NO_LABEL,
    NO_ROW,
    NO_SPLIT,
    SNOW,
    Rules,
    select_v1,
    select_v2,
    unique_folders,
)
from bigearth_pipeline.source.tables import SplitLists, read_metadata, read_split_lists
from bigearth_pipeline.source.tree import find_source
from shards.layout.classes import decode_labels
from tests.support.data.scene import write_table


def v2_selection(tmp_path: Path, rules: Rules) -> tuple[list[str], dict[str, int], object]:
    keys = [f"S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_0_{i}" for i in range(8)]
    write_table(
        tmp_path / "metadata.parquet",
        [*keys[:6], "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_9_9", keys[7]],
        labels=[["Pastures"], [], ["Pastures"], ["Pastures"], ["Moon"], ["Urban fabric"], ["Pastures"], ["Pastures"]],
        split=["train", "train", "train", "val", "test", None, "test", "test"],
        contains_seasonal_snow=[False, False, True, False, False, False, False, False],
        contains_cloud_or_shadow=[False, False, False, True, False, False, False, False],
    )
    selection = select_v2({key: f"/{key}" for key in keys}, read_metadata([tmp_path / "metadata.parquet"]), rules)
    return [entry.key[-3:] for entry in selection.entries], dict(selection.left_out), selection


def test_v2_selection_counts_every_patch_once(tmp_path: Path) -> None:
    """A patch is left out without a reason, or stored although it should not be."""
    taken, left_out, selection = v2_selection(tmp_path, Rules())
    assert taken == ["0_0", "0_7"]
    assert left_out == {NO_LABEL: 1, SNOW: 1, CLOUD: 1, NO_SPLIT: 1, NO_ROW: 1}
    assert [patch.reason for patch in selection.bad] == ["label 'Moon' is not in the 19-class nomenclature"]
    assert [(kind, key[-3:]) for kind, key in selection.unmatched] == [(NO_ROW, "0_6"), (NO_FOLDER, "9_9")]


def test_v2_selection_with_more_taken(tmp_path: Path) -> None:
    """Options that take more patches do not."""
    taken, left_out, selection = v2_selection(tmp_path, Rules(include_snow_cloud=True, split_by=(0, 0, 100)))
    assert taken == ["0_0", "0_2", "0_3", "0_5", "0_7"]
    assert left_out == {NO_LABEL: 1, NO_ROW: 1}
    by_key = {entry.key[-3:]: entry for entry in selection.entries}
    assert [by_key[key].split for key in taken] == ["train", "train", "validation", "test", "test"]
    assert by_key["0_2"].seasonal_snow
    assert by_key["0_3"].cloud_or_shadow


def test_limit_takes_a_sample(tmp_path: Path) -> None:
    """A limit takes another number, or says nothing of the rest."""
    taken, left_out, _ = v2_selection(tmp_path, Rules(limit=1))
    assert len(taken) == 1
    assert left_out[LIMIT] == 1


@pytest.mark.long
def test_v1_selection(v1_tree: Path, v1_splits: Path) -> None:
    """Labels, dates or splits of the real v1 patches are read wrong."""
    from bigearth_pipeline.source.annotations import read_v1_annotations

    folders, bad = unique_folders(list(find_source(v1_tree).folders()))
    assert (len(folders), bad) == (6, [])
    rules = Rules(include_snow_cloud=True)
    selection = select_v1(folders, read_v1_annotations, read_split_lists(v1_splits), None, rules)
    entries = {entry.key: entry for entry in selection.entries}
    # The name misses the hour's zero; the date is that of the JSON file.
    entry = entries["S2B_MSIL2A_20170924T93020_69_24"]
    assert entry.date == "2017-09-24T09:30:20"
    assert decode_labels(entry.label_mask) == (
        "Coniferous forest", "Inland waters", "Inland wetlands", "Mixed forest", "Transitional woodland, shrub",
    )  # fmt: skip
    assert len(selection.entries) + sum(selection.left_out.values()) == 6
    lists = SplitLists({"other": "train"}, frozenset(), frozenset(), ())
    selection = select_v1(folders, read_v1_annotations, lists, None, Rules())
    assert selection.left_out == {NO_SPLIT: 6}
    assert selection.unmatched == [(NO_FOLDER, "other")]
