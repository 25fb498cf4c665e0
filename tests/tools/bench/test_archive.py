"""The benchmark of builds from an archive, on a tiny tree."""

import json
import shutil
from pathlib import Path

import pytest

from tests.support.data.small_tree import write_small_tree
from tools.bench.build import archive


@pytest.mark.long
@pytest.mark.skipif(not (shutil.which("zstd") and shutil.which("tar")), reason="needs the commands tar and zstd")
def test_a_build_from_an_archive_is_measured(tmp_path: Path) -> None:
    """The benchmark stumbles over the note beside synthetic patches, counts it as one, or leaves files."""
    tree = write_small_tree(tmp_path / "tree", 8)
    (tree / "BigEarthNet-S2" / "SYNTHETIC.txt").write_text("Synthetic patches.")
    out, work = tmp_path / "archive.json", tmp_path / "work"
    assert archive.main([str(tree), "--work", str(work), "--repeats", "1", "--workers", "1", "--out", str(out)]) == 0
    measured = json.loads(out.read_text())
    assert measured["patches"] == 8
    alone = {"tree beside it", "tree on one core", "archive on two cores"}
    assert set(measured["patches_per_second"]) == {"decompress", "tree", "archive", "resumed"} | alone
    assert measured["share_of_slower"].keys() == {"all cores", "side by side", "a core each"}
    assert min(measured["share_of_slower"].values()) > 0
    assert 0 < measured["patches_of_part"] < 8
    assert measured["sustained_share_of_slower"].keys() == measured["share_of_slower"].keys()
    assert list(work.iterdir()) == []
