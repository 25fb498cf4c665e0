"""The summary of a prediction on the terminal."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from bigearth_pipeline.cli import main
from shards.layout.classes import CLASSES
from tests.bigearth_pipeline.scenes.making import random_pixels, write_files


def test_the_summary_names_its_shares_and_a_picture_can_be_left_out(
    trained_rgb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shares of classes stand without a name, or a prediction needs matplotlib in any case."""
    scene = write_files(tmp_path / "scene", random_pixels(20, 40, seed=2))
    monkeypatch.setattr("bigearth_pipeline.extra.find_spec", lambda name: None if name == "matplotlib" else True)
    options = [str(trained_rgb), str(scene), "--out", str(tmp_path / "out"), "--offset", "none"]
    refused = CliRunner().invoke(main, ["predict", *options])
    assert refused.exit_code == 1
    assert "matplotlib is not installed" in refused.output
    assert "--no-picture" in refused.output
    told = CliRunner().invoke(main, ["predict", *options, "--no-picture"])
    assert told.exit_code == 0, told.output
    output = told.output
    assert not (tmp_path / "out" / "preview.png").exists()
    assert (tmp_path / "out" / "map.tif").exists()
    assert "scene: 2 windows, 2 with a result" in output
    assert "at a stride of 1,200 m" in output
    lines = output.splitlines()
    shares = [line for line in lines if line.strip().partition(" ")[2].strip() in CLASSES]
    assert any("in which a class is at or above its threshold" in line for line in lines) == bool(shares)
    assert len({line.index("%") for line in shares}) <= 1
