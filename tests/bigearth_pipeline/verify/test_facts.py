"""Labels, splits, countries, dates and flags of an index are compared with those that the source says."""

import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from bigearth_pipeline.build.config import BuildConfig
from bigearth_pipeline.build.run import build
from bigearth_pipeline.build.select import Rules
from bigearth_pipeline.verify.findings import Findings
from bigearth_pipeline.verify.store import verify_store
from bigearth_pipeline.workers import InProcess
from tests.bigearth_pipeline.verify.damage import edit_index
from tests.support.data.building import Recorder
from tests.support.data.scene import write_table
from tests.support.data.small_tree import build_here, write_small_tree

OTHER_PRODUCT = "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_00"
"""Start of the names of the patches of a small tree."""


def compared(store: Path, *sources: Path) -> Findings:
    """Return what a comparison with sources finds, in this process."""
    return verify_store(store, against=sources, pool=InProcess())


def rebuilt_table(tree: Path, **columns: Any) -> None:
    """Write the table of a small tree again, with some columns changed."""
    table = pq.read_table(tree / "metadata.parquet").to_pydict()
    write_table(tree / "metadata.parquet", table["patch_id"], **{**table, **columns})


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"labels": 3}, "1 patch differs from the source in labels, first {key}: "),
        (
            {"split": 3},
            "1 patch differs from the source in split, first {key}: test in the index, train in metadata.parquet",
        ),
        ({"country": 3}, "1 patch differs from the source in country, first {key}: Austria in the index, Ireland in "),
        (
            {"contains_seasonal_snow": 3},
            "1 patch differs from the source in flag of seasonal snow, first {key}: no in the index, yes in ",
        ),
        (
            {"contains_cloud_or_shadow": 3},
            "1 patch differs from the source in flag of clouds or shadows, first {key}: no in the index, yes in ",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_fact_of_the_table_that_differs(change: dict[str, int], line: str, tmp_path: Path) -> None:
    """A store whose labels, split, country or flags are not those of the table passes for a faithful one."""
    tree = write_small_tree(tmp_path / "tree", 4)
    build_here(tmp_path / "store", tree)
    sound = compared(tmp_path / "store", tree)
    assert (sound.problems, sound.notes, sound.compared) == ([], [], 4)
    others = {"labels": ["Pastures"], "split": "train", "country": "Ireland"}
    [(column, row)] = change.items()
    values = pq.read_table(tree / "metadata.parquet")[column].to_pylist()
    values[row] = others.get(column, True)
    rebuilt_table(tree, **{column: values})
    found = compared(tmp_path / "store", tree)
    key, table = f"{OTHER_PRODUCT}_{row:02d}", tree / "metadata.parquet"
    assert [problem.startswith(line.format(key=key)) for problem in found.problems] == [True]
    assert found.problems[0].endswith(" in metadata.parquet; build the store again if the source is right")
    assert found.notes == [f"{table} has other contents than when the store was built"]


def test_several_patches_are_one_line(tmp_path: Path) -> None:
    """A store of many wrong labels fills the screen, or shows one problem in place of its number."""
    tree = write_small_tree(tmp_path / "tree", 6)
    build_here(tmp_path / "store", tree)
    rebuilt_table(tree, labels=[["Pastures"]] * 6, country=["Ireland"] * 6)
    labels, country = sorted(compared(tmp_path / "store", tree).problems, key=lambda line: "country" in line)
    assert labels.startswith("6 patches differ from the source in labels, first ")
    assert country.startswith("6 patches differ from the source in country, first ")


def test_dates_and_baselines_that_differ(tmp_path: Path) -> None:
    """A date or baseline of the index that is not that of the patch's name is believed."""
    tree = write_small_tree(tmp_path / "tree", 4)
    build_here(tmp_path / "store", tree, format="zarr")

    def change(rows: list[dict[str, Any]]) -> None:
        rows[0]["date"] += timedelta(days=1)
        rows[1]["baseline"] = 208

    edit_index(tmp_path / "store", change)
    problems = compared(tmp_path / "store", tree).problems
    assert any(
        "1 patch differs from the source in date" in line and "2017-06-14T10:10:31 in the index" in line
        for line in problems
    )
    assert any(
        "differs from the source in processing baseline" in line and "9999 in its name" in line for line in problems
    )


def test_patches_that_the_source_does_not_give(tmp_path: Path) -> None:
    """A patch without a row, a label or a split in the table is in the store, and nothing tells."""
    tree = write_small_tree(tmp_path / "tree", 5)
    build_here(tmp_path / "store", tree)
    table = pq.read_table(tree / "metadata.parquet").to_pydict()
    labels = [*table["labels"][:3], []]
    short = {name: values[:4] for name, values in table.items()}
    write_table(tree / "metadata.parquet", short.pop("patch_id"), **{**short, "labels": labels})
    [line] = compared(tmp_path / "store", tree).problems
    assert line.startswith("a build takes 2 patches of the store no longer from the source, first ")


@pytest.mark.parametrize("option", ["splits", "split_by", "metadata", "snow", "limit", "offset"])
def test_options_of_the_build_are_no_differences(option: str, tmp_path: Path) -> None:
    """A store that was built with other splits, a rule, other tables or flagged patches is called wrong."""
    tree = write_small_tree(tmp_path / "tree", 6)
    keys = [f"{OTHER_PRODUCT}_{number:02d}" for number in range(6)]
    rules, options = Rules(), dict[str, Any]()
    if option == "splits":
        (tmp_path / "lists").mkdir()
        for name, start in (("train", 0), ("val", 2), ("test", 4)):
            (tmp_path / "lists" / f"{name}.csv").write_text("\n".join(keys[start : start + 2]))
        options["splits"] = tmp_path / "lists"
    elif option == "split_by":
        rebuilt_table(tree, split=["train", None, None, None, None, "test"])
        rules = Rules(split_by=(60, 20, 20))
    elif option == "metadata":
        write_table(tmp_path / "mine.parquet", keys, country=["Serbia"] * 6, labels=[["Pastures"]] * 6)
        options["metadata"] = (tmp_path / "mine.parquet",)
    elif option == "snow":
        rebuilt_table(tree, contains_seasonal_snow=[True, False] * 3)
        rules = Rules(include_snow_cloud=True)
    elif option == "limit":
        rules = Rules(limit=3)
    else:
        rules = Rules(offset="none")
    config = BuildConfig(sources=(tree,), out=tmp_path / "store", rules=rules, **options)
    build(config, progress=Recorder(), pool=InProcess())
    found = compared(tmp_path / "store", tree)
    assert (found.problems, found.notes, found.compared) == ([], [], 3 if option == "limit" else 6)


def test_a_source_that_was_moved(tmp_path: Path) -> None:
    """The table of a moved source is not found, or that of the copy is passed over for the old one."""
    tree = write_small_tree(tmp_path / "tree", 4)
    build_here(tmp_path / "store", tree)
    shutil.copytree(tree, tmp_path / "copy")
    rebuilt_table(tmp_path / "copy", country=["Ireland"] * 4)
    [line] = compared(tmp_path / "store", tmp_path / "copy").problems
    assert "Austria in the index, Ireland in metadata.parquet" in line
    shutil.rmtree(tree)
    assert len(compared(tmp_path / "store", tmp_path / "copy" / "BigEarthNet-S2").problems) == 1
    (tmp_path / "copy" / "metadata.parquet").unlink()
    found = compared(tmp_path / "store", tmp_path / "copy")
    assert found.problems == []
    assert [note.partition(";")[0] for note in found.notes] == [
        "not compared: labels, split, country, flag of seasonal snow and flag of clouds or shadows"
    ]
    (tmp_path / "store" / "build.json").unlink()
    assert "has no note on its build" in compared(tmp_path / "store", tmp_path / "copy").notes[0]


@pytest.fixture
def v1(v1_tree: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A copy of the six real patches of v1, and a store of them by lists, with labels of the 43 classes."""
    tree, lists = tmp_path / "tree", tmp_path / "lists"
    shutil.copytree(v1_tree, tree)
    keys = sorted(path.parent.name for path in tree.rglob("*_labels_metadata.json"))
    lists.mkdir()
    for name, chosen in {
        "train": keys[:2],
        "val": keys[2:4],
        "test": keys[4:],
        "patches_with_seasonal_snow": keys[:1],
        "patches_with_cloud_and_shadow": keys[1:2],
    }.items():
        (lists / f"{name}.csv").write_text("\n".join(chosen))
    rules = Rules(include_snow_cloud=True)
    config = BuildConfig(sources=(tree,), out=tmp_path / "store", rules=rules, splits=lists, labels43=True)
    build(config, progress=Recorder(), pool=InProcess())
    return tree, tmp_path / "store"


def test_facts_of_v1_files_that_differ(v1: tuple[Path, Path]) -> None:
    """Labels and date of a v1 store that are not those of the JSON files beside the pixels are believed."""
    tree, store = v1
    sound = compared(store, tree)
    assert (sound.problems, sound.notes) == ([], [])
    path = min(tree.rglob("*_labels_metadata.json"))
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"labels": ["Airports", "Salt marshes"], "acquisition_date": "2018-01-01"}))
    problems = compared(store, tree).problems
    for kind in ("labels", "labels of the 43 classes", "date"):
        start = f"1 patch differs from the source in {kind}, first {path.parent.name}: "
        assert sum(line.startswith(start) and " in its JSON file; " in line for line in problems) == 1
    assert len(problems) == 3


def test_splits_and_flags_of_v1_lists_that_differ(v1: tuple[Path, Path], tmp_path: Path) -> None:
    """Splits or flags of a v1 store that are not those of the lists are believed."""
    tree, store = v1
    lists = tmp_path / "lists"
    train, test = ((lists / f"{name}.csv").read_text() for name in ("train", "test"))
    (lists / "train.csv").write_text(test)
    (lists / "test.csv").write_text(train)
    (lists / "patches_with_seasonal_snow.csv").write_text(test)
    found = compared(store, tree)
    assert [line.partition(", first")[0] for line in found.problems] == [
        "3 patches differ from the source in flag of seasonal snow",
        "4 patches differ from the source in split",
    ]
    assert len(found.notes) == 3
