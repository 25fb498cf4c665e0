"""Options of `bep predict`, and folders that hold something already."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from bigearth_pipeline.cli import main
from tests.bigearth_pipeline.scenes.making import random_pixels, write_files


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--overlap", "0.96"], "--overlap"),
        (["--baseline", "new"], "--baseline"),
        (["--baseline", "N6500"], "--baseline"),
        (["--with", "RUN"], "named twice"),
        (["--split", "all"], "--split"),
    ],
)
def test_options(options: list[str], words: str, trained: Path, tmp_path: Path) -> None:
    """A wrong option is ignored."""
    options = [str(trained) if option == "RUN" else option for option in options]
    command = ["predict", str(trained), str(tmp_path), "--out", str(tmp_path / "out"), *options]
    result = CliRunner().invoke(main, command)
    assert result.exit_code in (1, 2), result.output
    assert words in result.stderr, result.stderr


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        (["--overlap", "0.5"], "store", "--overlap has an effect on scenes alone"),
        (["--baseline", "02.12"], "store", "--baseline has an effect on scenes alone"),
        (["--date", "2018-01-01"], "store", "--date has an effect on scenes alone"),
        (["--offset", "none"], "store", "--offset has an effect on scenes and patch folders alone"),
        (["--split", "train", "--baseline", "02.12"], "scene", "--split has an effect on stores alone"),
    ],
)
def test_no_option_is_without_effect(
    options: list[str], kind: str, words: str, trained: Path, small_store: Path, tmp_path: Path
) -> None:
    """Somebody believes that an option was heeded."""
    found = small_store if kind == "store" else write_files(tmp_path / "scene", random_pixels(20, 20))
    command = ["predict", str(trained), str(found), "--out", str(tmp_path / "out"), *options]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 1
    assert words in result.stderr.splitlines()[-1], result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.long
def test_other_results_are_kept(trained: Path, small_store: Path, tmp_path: Path) -> None:
    """A second prediction mixes with the first, or deletes what is of no prediction."""
    out = tmp_path / "out"

    def call(*options: str) -> tuple[int, str]:
        command = ["predict", str(trained), str(small_store), "--out", str(out), *options]
        result = CliRunner().invoke(main, command)
        return result.exit_code, result.stderr

    out.mkdir()
    (out / "map.tif").write_text("mine")
    code, text = call()
    assert (code, "is of no prediction" in text) == (1, True), text
    (out / "map.tif").unlink()
    assert call()[0] == 0
    (out / "notes.txt").write_text("mine")
    before = (out / "patches.parquet").read_bytes()
    code, text = call("--split", "train")
    assert (code, "another folder" in text) == (1, True), text
    assert (out / "patches.parquet").read_bytes() == before
    code, text = call()
    assert (code, "finished already" in text) == (0, True), text
    (out / "preview.png").write_text("changed")
    code, text = call()
    assert (code, "preview.png is missing or was changed" in text) == (1, True), text
    assert call("--split", "train", "--overwrite")[0] == 0
    assert (out / "patches.parquet").read_bytes() != before
    assert (out / "notes.txt").read_text() == "mine"
    assert json.loads((out / "prediction.json").read_text())["plan"]["input"]["split"] == "train"
