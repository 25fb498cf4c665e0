"""Folders and addresses that `bep predict` takes, and what it says of those that it does not."""

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from bigearth_pipeline.cli import main
from tests.support.network.shelves import Shelf


def bep(*arguments: object) -> Result:
    """Call `bep predict`."""
    return CliRunner().invoke(main, ["predict", *map(str, arguments)])


def last(told: Result) -> str:
    """Return the line of an error."""
    assert told.exit_code == 1, told.output
    return told.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize("options", [[], ["--overwrite"]])
def test_a_folder_of_other_files_is_no_place_for_results(
    trained_rgb: Path, small_store: Path, tmp_path: Path, options: list[str]
) -> None:
    """Results are strewn among the files of somebody's work."""
    (tmp_path / "notes.txt").write_text("mine")
    command = [trained_rgb, small_store, "--split", "validation", "--out", tmp_path]
    expected = f"Error: {tmp_path} holds notes.txt, which is of no prediction; name another folder by --out"
    assert last(bep(*command, *options)) == expected
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_folder_of_results_may_hold_more(trained_rgb: Path, small_store: Path, tmp_path: Path) -> None:
    """A file that another program has put beside the results, as QGIS does, makes them a folder of somebody else."""
    command = [trained_rgb, small_store, "--split", "validation", "--no-picture", "--out", tmp_path / "out"]
    assert bep(*command).exit_code == 0
    (tmp_path / "out" / "a.aux.xml").write_text("")
    told = bep(*command, "--overwrite")
    assert told.exit_code == 0, told.output


def test_several_results_go_to_folders_of_no_others(trained_rgb: Path, small_store: Path, tmp_path: Path) -> None:
    """Of several inputs the folder of one is that of somebody's work."""
    other = shutil.copytree(small_store, tmp_path / "other")
    out = tmp_path / "out"
    foreign = out / f"{other.name}-validation"
    foreign.mkdir(parents=True)
    (foreign / "mine").write_text("")
    command = [trained_rgb, small_store, other, "--split", "validation", "--no-picture", "--out", out]
    assert last(bep(*command)).startswith(f"Error: {foreign} holds mine, which is of no prediction")
    (foreign / "mine").unlink()
    assert bep(*command).exit_code == 0
    assert {path.name for path in out.iterdir()} >= {foreign.name, f"{small_store.name}-validation"}


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_a_tree_without_a_usable_patch_is_an_error(
    trained_rgb: Path, v1_tree: Path, tmp_path: Path, as_json: list[str]
) -> None:
    """A script takes a prediction of nothing for one that succeeded."""
    tree = shutil.copytree(v1_tree, tmp_path / "tree")
    for path in tree.rglob("*_B04.tif*"):
        path.write_bytes(b"II*\0")
    told = bep(trained_rgb, tree, "--out", tmp_path / "out", "--no-picture", *as_json)
    assert last(told).startswith("Error: no patch of tree can be used; the first is S2")
    assert "_B04.tif" in last(told)
    # The table says why of each; another call finds it, and is no success either.
    assert (tmp_path / "out" / "patches.parquet").exists()
    assert last(bep(trained_rgb, tree, "--out", tmp_path / "out", "--no-picture", *as_json)) == last(told)


def test_a_store_is_read_from_its_address(trained_rgb: Path, small_store: Path, tmp_path: Path, s3: Shelf) -> None:
    """An address is taken for a file of this machine that does not exist."""
    address = s3.store(small_store)
    options = ["--split", "validation", "--no-picture"]
    far, near = tmp_path / "far", tmp_path / "near"
    told = bep(trained_rgb, address, *options, "--out", far)
    assert told.exit_code == 0, told.output
    assert bep(trained_rgb, small_store, *options, "--out", near).exit_code == 0
    tables = [pq.read_table(folder / "patches.parquet") for folder in (far, near)]
    assert tables[0].equals(tables[1])
    nothing = last(bep(trained_rgb, "s3://shelf/none", *options, "--out", tmp_path / "none"))
    assert nothing.startswith("Error: input s3://shelf/none is no address of a store: there is no manifest.json")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["predict", "RUN", "hf://owner/name"], "input hf://owner/name is an address, and of these stores alone"),
        (["predict", "s3://bucket/run", "STORE"], "s3://bucket/run is an address, expected the folder of a run on"),
        (["export", "gs://bucket/run"], "gs://bucket/run is an address, expected the folder of a run on this machine"),
        (["explain", "RUN", "ftp://host/patch"], "input ftp://host/patch is an address, expected patches of this"),
        (["runs", "s3://bucket"], "s3://bucket is an address, expected a folder of runs on this machine"),
        (["report", "hf://owner/name"], "hf://owner/name is an address, expected that of a store, or a folder of this"),
    ],
)
def test_an_address_that_cannot_be_read_is_named_as_one(
    trained_rgb: Path, small_store: Path, tmp_path: Path, command: list[str], expected: str
) -> None:
    """An address is shown with one slash, as a path of this machine that does not exist."""
    names = {"RUN": str(trained_rgb), "STORE": str(small_store)}
    out = [] if command[0] == "runs" else ["--out", str(tmp_path / "out")]
    told = CliRunner().invoke(main, [*(names.get(word, word) for word in command), *out])
    assert last(told).startswith(f"Error: {expected}")
    assert list(tmp_path.iterdir()) == []
