"""Stores and runs that a server opens."""

import shutil
from pathlib import Path

import pytest

from bigearth_pipeline.serve.config import ServeConfig
from bigearth_pipeline.serve.contents.contents import open_contents
from shards.errors import CorruptShard


def test_a_store_that_cannot_be_read_leaves_the_other_runs(runs_folder: Path, tmp_path: Path) -> None:
    """Of a folder of runs one has a damaged store, or one at an address without credentials, and no run is shown."""
    runs, store = tmp_path / "runs", tmp_path / "damaged"
    shutil.copytree(runs_folder, runs)
    store.mkdir()
    (store / "manifest.json").write_text("{}")
    config = runs / "second" / "config.toml"
    config.write_text(config.read_text().replace(str(runs_folder.parent / "store"), str(store)))
    lines: list[str] = []
    verdicts = tmp_path / "verdicts.csv"
    with open_contents(ServeConfig(runs=(runs,), verdicts=verdicts, device="cpu"), lines.append) as contents:
        assert [run.folder.name for run in contents.runs] == ["first", "second"]
        assert [each.store.folder for each in contents.stores] == [runs_folder.parent / "store"]
    [line] = lines
    assert line.startswith(f"left out: {store / 'manifest.json'} is not a manifest")
    named = ServeConfig(runs=(runs,), stores=(store,), verdicts=verdicts, device="cpu")
    with pytest.raises(CorruptShard, match=r"manifest\.json is not a manifest"), open_contents(named, pytest.fail):
        pass


def test_runs_of_one_name_are_told_apart(runs_folder: Path, tmp_path: Path) -> None:
    """Two runs of different folders have one name on all pages, and links of one lead to the other."""
    for name in ("a", "b"):
        shutil.copytree(runs_folder / "first", tmp_path / "runs" / name / "run")
    config = ServeConfig(runs=(tmp_path / "runs",), verdicts=tmp_path / "verdicts.csv", device="cpu")
    with open_contents(config, pytest.fail) as contents:
        assert [run.about()["name"] for run in contents.runs] == ["a/run", "b/run"]
