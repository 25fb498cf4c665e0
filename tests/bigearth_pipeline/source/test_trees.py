"""Trees of BigEarthNet are found from any level; what is none is refused."""

from pathlib import Path

import pytest

from bigearth_pipeline.build.select import unique_folders
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.source.tree import find_source
from shards.layout.facts import is_key


def test_trees_are_found_from_any_level(v1_tree: Path, v2_tree: Path) -> None:
    """Naming the folder above or below the tree is an error, or the version is taken for the other one."""
    product = next((v2_tree / "BigEarthNet-S2").iterdir())
    for path, version, root in (
        (v1_tree, "v1", v1_tree / "BigEarthNet-S2-Example"),
        (v1_tree / "BigEarthNet-S2-Example", "v1", v1_tree / "BigEarthNet-S2-Example"),
        (v2_tree.parent / "v2", "v2", v2_tree / "BigEarthNet-S2"),
        (v2_tree / "BigEarthNet-S2", "v2", v2_tree / "BigEarthNet-S2"),
        (product, "v2", product),
    ):
        source = find_source(path)
        assert (source.version, source.root) == (version, root)
        assert len(list(source.folders())) == (6 if version == "v1" else 1)


def test_a_v1_patch_without_json_is_still_v1(tmp_path: Path) -> None:
    """One missing JSON file turns a v1 tree into a v2 one."""
    name = "S2A_MSIL2A_20170613T101031_0_1"
    (tmp_path / name).mkdir()
    (tmp_path / name / f"{name}_B02.tif").touch()
    assert find_source(tmp_path).version == "v1"


def test_what_is_no_tree_is_refused(tmp_path: Path) -> None:
    """A wrong path builds an empty store, or `bep verify --against` does not say that it needs the unpacked tree."""
    archive = tmp_path / "a.tar.zst"
    archive.touch()
    for path, message in (
        (tmp_path / "absent", "does not exist"),
        (Path(__file__), "is not a directory, expected a folder of BigEarthNet"),
        (archive, r"a\.tar\.zst is an archive, expected the folder that it unpacks to"),
        (tmp_path, "holds no BigEarthNet tree"),
    ):
        with pytest.raises(PipelineError, match=message):
            find_source(path)


def test_two_trees_below_one_folder_are_refused(tmp_path: Path) -> None:
    """Of two trees one is taken at random."""
    for name in ("old", "new"):
        folder = tmp_path / name / "S2A_MSIL2A_20170613T101031_0_1"
        folder.mkdir(parents=True)
        (folder / f"{folder.name}_B02.tif").touch()
    # Their names are not those of v1 patches, so the level above is no v2 product folder either.
    with pytest.raises(PipelineError, match="several trees"):
        find_source(tmp_path)


def test_unsafe_and_repeated_names_are_bad() -> None:
    """A name with a dot splits tar members at the wrong place, or a patch occurs twice."""
    found = [("a.b", "/x/a.b"), ("ok", "/y/ok"), ("ok", "/x/ok"), ("näme", "/x/n"), ("k" * 93, "/x/k")]
    folders, bad = unique_folders(found)
    assert folders == {"ok": "/x/ok"}
    assert {patch.key for patch in bad} == {"a.b", "ok", "näme", "k" * 93}
    assert any(patch.reason == "duplicate of /x/ok" and patch.folder == "/y/ok" for patch in bad)
    assert not is_key("")


def test_a_tree_is_found_below_folders_that_hold_nothing_else(tmp_path: Path) -> None:
    """A tree is not found where it is in an archive of `/home/me/data`, below which no source can be named."""
    top = tmp_path / "home" / "me" / "data" / "sets"
    folder = top / "BigEarthNet-S2" / "product" / "patch_0_1"
    folder.mkdir(parents=True)
    (folder / "patch_0_1_B02.tif").touch()
    assert find_source(tmp_path).root == top / "BigEarthNet-S2"
    (tmp_path / "home" / "around").symlink_to(tmp_path)
    (tmp_path / "loop").mkdir()
    (tmp_path / "loop" / "loop").symlink_to(tmp_path / "loop")
    for path in (tmp_path / "loop", tmp_path):
        with pytest.raises(PipelineError, match="holds no BigEarthNet tree"):
            find_source(path)
