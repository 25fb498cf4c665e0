"""Splits and flags of patches: from lists, tables, or the package."""

import random
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import shards
from bigearth_pipeline.build.select import NO_SPLIT, SNOW, Rules, select_v1
from bigearth_pipeline.cli import main
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.source.annotations import Annotation
from bigearth_pipeline.source.tables import read_exclusions, read_split_lists
from bigearth_pipeline.source.v1_flags import v1_flags
from bigearth_pipeline.verify.store import verify_store
from tests.bigearth_pipeline.build.facts.tree import write_tree
from tests.support.data.building import build_store
from tests.support.data.scene import write_table
from trainer.data.subset.where import rows_where


def test_lists_replace_the_splits_of_v2_tables(tmp_path: Path, scheduler: str) -> None:
    """Lists of one's own are ignored for a v2 source, even a folder that does not exist."""
    keys = write_tree(tmp_path / "tree", ["N9999"] * 6)
    lists = tmp_path / "lists"
    with pytest.raises(PipelineError, match=r"splits folder .*lists does not exist"):
        build_store(tmp_path / "s", tmp_path / "tree", scheduler=scheduler, splits=lists)
    lists.mkdir()
    with pytest.raises(PipelineError, match=r"holds none of train\.csv"):
        build_store(tmp_path / "s", tmp_path / "tree", scheduler=scheduler, splits=lists)
    (lists / "train.csv").write_text("elsewhere_1\nelsewhere_2\n")
    with pytest.raises(PipelineError, match=f"none of its 2 names is in the source: .*elsewhere_1, .*{keys[0]}"):
        build_store(tmp_path / "s", tmp_path / "tree", scheduler=scheduler, splits=lists)
    (lists / "train.csv").write_text(f"{keys[3]}\n{keys[2]}\n")
    (lists / "test.csv").write_text(f"{keys[0]}\nelsewhere\n")
    summary = build_store(tmp_path / "s", tmp_path / "tree", scheduler=scheduler, splits=lists)
    assert summary.manifest.left_out == {NO_SPLIT: 3}
    assert sum(summary.unmatched.values()) == 1
    with shards.open(tmp_path / "s") as store:
        found = {row["key"]: row["split"] for row in store.index.table.to_pylist()}
    assert found == {keys[3]: "train", keys[2]: "train", keys[0]: "test"}
    rules = Rules(split_by=(0, 100, 0))
    summary = build_store(tmp_path / "t", tmp_path / "tree", scheduler=scheduler, splits=lists, rules=rules)
    assert {name: split.count for name, split in summary.manifest.splits.items()} == {
        "train": 2, "validation": 3, "test": 1,
    }  # fmt: skip


def test_exclusion_lists_of_v1_do_not_clear_flags_of_v2(tmp_path: Path, scheduler: str) -> None:
    """Lists of v1 in a folder for a v2 source let every patch with snow enter."""
    keys = write_tree(tmp_path / "tree", ["N9999"] * 3)
    write_table(tmp_path / "tree" / "metadata.parquet", keys, contains_seasonal_snow=[True, False, False])
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "train.csv").write_text("\n".join(keys))
    (lists / "patches_with_seasonal_snow.csv").write_text("S2A_MSIL2A_20170613T101031_0_0\n")
    with pytest.raises(PipelineError, match=r"patches_with_seasonal_snow\.csv: none of its 1 names is in the source"):
        build_store(tmp_path / "s", tmp_path / "tree", scheduler=scheduler, splits=lists)
    (lists / "patches_with_seasonal_snow.csv").write_text(f"{keys[1]}\n")
    summary = build_store(tmp_path / "s", tmp_path / "tree", scheduler=scheduler, splits=lists)
    assert summary.manifest.left_out == {SNOW: 2}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["{tree}", "{tree}/BigEarthNet-S2"], "is named twice"),
        (["{tree}", "--metadata", "{tree}/metadata.parquet", "--metadata", "{tree}/metadata.parquet"], "named twice"),
        (["{tree}", "--seed", str(2**70)], "is not in the range"),
        (["{tree}", "--split-by", "hash:100/0/0"], "--split-by has no effect: the tables and lists give a split to"),
        (["{v1}", "--split-by", "hash:100/0/0", "--require-all"], "--require-all compares folders with split lists"),
        (["{v1}", "--split-by", "hash:100/0/0", "--metadata", "{plain}"], "--metadata .* has no effect"),
    ],
)
def test_options_without_an_effect_are_refused(tmp_path: Path, options: list[str], message: str) -> None:
    """An option is taken and does nothing."""
    write_tree(tmp_path / "tree", ["N9999"])
    v1 = tmp_path / "v1" / "S2A_MSIL2A_20170613T101031_0_1"
    v1.mkdir(parents=True)
    (v1 / f"{v1.name}_B02.tif").touch()
    write_table(tmp_path / "plain.parquet", ["a"], s2v1_name=[None])
    named = [
        option.format(tree=tmp_path / "tree", v1=v1.parent, plain=tmp_path / "plain.parquet") for option in options
    ]
    result = CliRunner().invoke(main, ["build-shards", *named, "--out", str(tmp_path / "s")])
    assert result.exit_code != 0
    assert re.search(message, result.output), result.output


# Flags of v1.


@pytest.mark.long
def test_flags_of_v1_are_those_of_the_official_lists(v1_splits: Path) -> None:
    """Snow and clouds of v1 without lists enter training, or clear patches are left out."""
    lists = read_split_lists(v1_splits)
    assert lists.snow is not None
    assert lists.cloud is not None
    keys = random.Random(0).sample(sorted(lists.split_of), 3000)
    keys += random.Random(1).sample(sorted(lists.snow), 1000) + random.Random(2).sample(sorted(lists.cloud), 1000)
    for key in keys:
        assert v1_flags(key) == (key in lists.snow, key in lists.cloud)
        column, row = key.rsplit("_", 2)[1:]
        assert v1_flags(f"{key.rsplit('_', 2)[0]}_0{column}_{row}") is None
    for key in (
        "",
        "patch_1",
        "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_75_43",
        "S2A_MSIL2A_20170613T101031_999_1",
    ):
        assert v1_flags(key) is None


@pytest.mark.long
def test_the_packed_flags_are_what_the_tool_makes(v1_splits: Path) -> None:
    """The file in the package is of other lists than the official ones."""
    from tools.pack_v1_flags import pack

    packed = Path(shards.__file__).parents[1] / "bigearth_pipeline" / "source" / "v1_flags.xz"
    assert pack(v1_splits) == packed.read_bytes()
    assert packed.stat().st_size < 150_000


def test_lists_come_before_what_the_package_knows(tmp_path: Path) -> None:
    """Lists beside the source are ignored, or what nothing tells counts as clear."""
    snowy, cloudy = "S2B_MSIL2A_20170831T095029_27_76", "S2A_MSIL2A_20170717T113321_35_89"
    folders = {key: f"/{key}" for key in (snowy, cloudy, "S2A_MSIL2A_20300101T000000_1_1")}

    def annotate(patches: Any) -> Any:
        return [Annotation(1, "2017-01-01T00:00:00", 1)] * len(patches)

    def flags(lists: Any) -> list[tuple[bool | None, bool | None]]:
        rules = Rules(include_snow_cloud=True, split_by=(100, 0, 0))
        selection = select_v1(folders, annotate, lists, None, rules)
        return [(entry.seasonal_snow, entry.cloud_or_shadow) for entry in selection.entries]

    assert flags(None) == [(True, False), (False, True), (None, None)]
    assert flags(read_exclusions([tmp_path], None)) == flags(None)
    (tmp_path / "patches_with_seasonal_snow.csv").write_text(f"{cloudy}\n")
    assert flags(read_exclusions([tmp_path], None)) == [(False, False), (True, True), (False, None)]
    (tmp_path / "patches_with_cloud_and_shadow.csv").write_text("")
    assert flags(read_exclusions([tmp_path], None)) == [(False, False), (True, False), (False, False)]


def test_v1_without_lists(v1_tree: Path, scheduler: str, tmp_path: Path) -> None:
    """The summary does not tell of patches that may have snow or clouds."""
    tree = tmp_path / "tree"
    shutil.copytree(v1_tree / "BigEarthNet-S2-Example", tree)
    [first, *_] = sorted(path.name for path in tree.iterdir())
    renamed = "S2A_MSIL2A_20300101T000000_1_1"
    (tree / first).rename(tree / renamed)
    for path in (tree / renamed).iterdir():
        path.rename(path.with_name(path.name.replace(first, renamed)))
    rules = Rules(split_by=(100, 0, 0))
    summary = build_store(tmp_path / "s", tree, scheduler=scheduler, rules=rules)
    assert summary.facts.unknown_flags == 1
    assert any("unknown of 1 patch," in line for line in summary.facts.lines())
    assert verify_store(tmp_path / "s", against=[tree]).problems == []
    with shards.open(tmp_path / "s") as store:
        patch = next(store.read(row) for row in range(len(store)) if store.index.key(row) == renamed)
        assert (patch.seasonal_snow, patch.cloud_or_shadow, patch.baseline) == (None, None, None)
        assert len(rows_where("seasonal_snow is null", store.index)) == 1
        assert len(rows_where("not seasonal_snow", store.index)) == len(store) - 1
