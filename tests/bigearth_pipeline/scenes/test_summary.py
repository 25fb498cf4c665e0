"""The summary of a prediction on the terminal."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from bigearth_pipeline.cli import main
from bigearth_pipeline.cli.models.predict import _print
from bigearth_pipeline.scenes.predict import Outcome
from bigearth_pipeline.scenes.results import Counts
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
    shares = [line for line in lines if line.partition("%")[2].strip() in CLASSES]
    assert any("in which a class is at or above its threshold" in line for line in lines) == bool(shares)
    assert len({line.index("%") for line in shares}) <= 1


@pytest.mark.parametrize(
    ("found", "more"), [(7, ["    and 2 more, see the column labels of patches.parquet"]), (5, [])]
)
def test_the_summary_says_how_many_classes_it_leaves_out(
    capsys: pytest.CaptureFixture[str], found: int, more: list[str]
) -> None:
    """The five most frequent classes pass for all."""
    labels = {name: max(0, found - number) for number, name in enumerate("abcdefghi")}
    counts = Counts(patches=10, predicted=10, missing=0, faults=0, labels=labels)
    _print(Outcome("scene", Path("out"), is_scene=True, counts=counts, left_out={}, had_finished=False))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines[2:7]] == list("abcde")
    assert lines[7:] == more
