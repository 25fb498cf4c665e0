"""Synthetic data say that they are, from the source to reports and cards."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from bigearth_pipeline.cli import main
from bigearth_pipeline.report.store.report import store_report
from bigearth_pipeline.source.tree import SYNTHETIC
from shards import Manifest
from shards.errors import CorruptShard
from shards.metadata.seal import sealed
from shards.testing.stores import make_store


def bep(*arguments: object) -> str:
    """The output of a command on one line: where lines break depends on the length of the folder's name."""
    told = CliRunner().invoke(main, [str(each) for each in arguments])
    assert told.exit_code == 0, told.output
    return " ".join(told.output.split())


@pytest.mark.long
@pytest.mark.parametrize("marked", [True, False])
def test_a_store_says_what_its_source_is(marked: bool, tmp_path: Path) -> None:
    """Synthetic patches pass for BigEarthNet, or patches without the mark for synthetic ones."""
    bep("synth", "--out", tmp_path / "data", "--patches", 40, "--workers", 1)
    if not marked:
        (tmp_path / "data" / "BigEarthNet-S2" / SYNTHETIC).unlink()
    output = bep("build-shards", tmp_path / "data", "--out", tmp_path / "store", "--workers", 1)
    manifest = Manifest.read(tmp_path / "store")
    assert manifest.synthetic is marked
    assert ("synthetic" in json.loads((tmp_path / "store" / "manifest.json").read_text())) is marked
    expected = "synthetic data in the layout of BigEarthNet v2" if marked else "BigEarthNet v2"
    assert manifest.dataset == expected
    assert f"store: {expected}" in output
    assert f"store: {expected}" in bep("inspect", tmp_path / "store")
    page = store_report(tmp_path / "store", per_class=0).decode()
    assert f"of {expected} in " in page


def test_a_wrong_mark_is_damage(tmp_path: Path) -> None:
    """Anything in the field passes for true."""
    folder = make_store(tmp_path / "store", {"train": 4})
    values = json.loads((folder / "manifest.json").read_text())
    assert "synthetic" not in values
    del values["sha256"]
    (folder / "manifest.json").write_text(json.dumps(sealed(values | {"synthetic": 1})))
    with pytest.raises(CorruptShard, match="synthetic"):
        Manifest.read(folder)
