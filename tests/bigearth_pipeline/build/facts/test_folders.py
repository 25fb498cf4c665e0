"""Patch folders: foreign ones, links, suffixes of files."""

from pathlib import Path

import pytest

from bigearth_pipeline.source.tree import find_source
from tests.bigearth_pipeline.build.facts.tree import PRODUCT, write_tree
from tests.conftest import real
from tests.support.data.building import build_store
from tests.support.data.scene import write_table


def test_foreign_folders_are_ignored_and_named(tmp_path: Path, scheduler: str) -> None:
    """A folder of a file server, a link in a circle or a folder that cannot be read stops a build, or counts as bad."""
    tree = tmp_path / "tree"
    keys = write_tree(tree, ["N9999"] * 2)
    root = tree / "BigEarthNet-S2"
    product = root / PRODUCT.format("N9999")
    for folder in (
        *(root / name for name in ("@eaDir", "__MACOSX", "splits", ".ipynb_checkpoints", "lost+found")),
        product / "@eaDir",
        root / "Reference_Maps" / product.name / keys[0],
        root / "S1A_IW_GRDH_1SDV_20170613T165043" / "S1A_IW_GRDH_1SDV_20170613T165043_33UUP_75_43",
    ):
        folder.mkdir(parents=True)
    (root / "circle").symlink_to("circle")
    (root / "above").symlink_to(tree)
    (root / "nothing").symlink_to(tmp_path / "absent")
    found = find_source(tree).scan()
    assert sorted(key for key, _ in found.patches) == keys
    assert found.unreadable == []
    expected = ["S1A_IW_GRDH_1SDV_20170613T165043", f"{product.name}/@eaDir", "@eaDir", "__MACOSX", "above"]
    expected += [".ipynb_checkpoints", "Reference_Maps", "lost+found", "splits"]
    assert set(expected) <= set(found.foreign)
    summary = build_store(tmp_path / "s", tree, scheduler=scheduler)
    assert (summary.manifest.count, summary.bad) == (2, 0)
    assert set(expected) <= set(summary.foreign)


def test_a_patch_folder_without_files_is_bad(tmp_path: Path, scheduler: str) -> None:
    """A patch that lost its files, or leads to nothing, is ignored as a foreign folder."""
    tree = tmp_path / "tree"
    keys = write_tree(tree, ["N9999"] * 2)
    product = tree / "BigEarthNet-S2" / PRODUCT.format("N9999")
    lost = [f"{PRODUCT.format('N9999')}_8_{i}" for i in range(3)]
    (product / lost[0]).mkdir()
    (product / lost[1]).symlink_to(tmp_path / "absent")
    (product / lost[2]).symlink_to(lost[2])
    other = tree / "BigEarthNet-S2" / PRODUCT.format("N0205")
    other.symlink_to(other.name)
    write_table(tree / "metadata.parquet", [*keys, *lost])
    summary = build_store(tmp_path / "s", tree, scheduler=scheduler, allow_bad=4)
    assert (summary.manifest.count, summary.bad, summary.foreign) == (2, 4, ())


def test_one_tree_by_two_ways_is_one(tmp_path: Path) -> None:
    """A link to the folder above makes two trees of one."""
    write_tree(tmp_path / "data" / "tree", ["N9999"])
    (tmp_path / "data" / "again").symlink_to(tmp_path / "data")
    assert find_source(tmp_path / "data").scan().patches


@pytest.mark.parametrize("suffix", [".tiff", ".TIF", ".TIFF"])
def test_trees_of_other_suffixes_are_found(tmp_path: Path, suffix: str) -> None:
    """A tree whose band files end otherwise is taken for none."""
    [key] = write_tree(tmp_path, ["N9999"])
    for path in list((tmp_path / "BigEarthNet-S2").rglob("*.tif")):
        path.rename(path.with_suffix(suffix))
    source = find_source(tmp_path)
    assert source.version == "v2"
    assert [found for found, _ in source.scan().patches] == [key]


def test_a_flat_tree_of_tiff_files_is_found() -> None:
    """The layout of rico-hdl's v2 sample is taken for none."""
    source = find_source(real("v2-tiff/S2"))
    assert source.version == "v2"
    assert len(source.scan().patches) == 1
