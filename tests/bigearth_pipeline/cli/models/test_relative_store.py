"""Runs that were trained with a relative path of their store, used from another folder."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bigearth_pipeline.cli import main
from shards.testing.stores import make_store
from tests.trainer.configs import edit_description

pytestmark = pytest.mark.train


def bep(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store, and a run that was trained there by relative paths."""
    folder = tmp_path_factory.mktemp("relative")
    make_store(folder / "store", {"train": 16, "validation": 8, "test": 6})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        told = bep("train", "store", "--out", "run", "--epochs", 2, "--batch-size", 8, "--device", "cpu", "--test",
                   "--set", "run.max_steps=2")  # fmt: skip
        assert told.exit_code == 0, told.output
    return folder


@pytest.fixture
def run(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run, and a working folder that is not that of the training."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(made / "run", tmp_path / "copies" / "run"))


@pytest.mark.long
def test_every_command_finds_the_store(run: Path, tmp_path: Path) -> None:
    """A run of a relative path can be used from the folder of its training alone."""
    told = bep("evaluate", run, "--split", "validation", "--device", "cpu")
    assert told.exit_code == 0, told.output
    assert json.loads((run / "metrics-validation.json").read_text())["split"] == "validation"
    told = bep("report", run, "--out", "page.html", "--samples", 0)
    assert told.exit_code == 0, told.output
    assert "is absent" not in (tmp_path / "page.html").read_text()
    told = bep("explain", run, "--random", 1, "--method", "grad-cam", "--no-sanity", "--out", "why", "--device", "cpu")
    assert told.exit_code == 0, told.output
    told = bep("export", run, "--format", "pt2", "--out", "model", "--json")
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["compared_on"].startswith("6 patches of ")
    told = bep("train", "--resume", run)
    assert told.exit_code == 0, told.output


def test_a_store_at_neither_place_is_named_with_both(run: Path, made: Path, tmp_path: Path) -> None:
    """An error leaves out where was looked, or how to name another folder."""
    (made / "store").rename(made / "elsewhere")
    try:
        told = bep("evaluate", run, "--device", "cpu")
        explained = bep("explain", run, "--class", "pasture", "--worst", 2, "--device", "cpu")
        page = bep("report", run, "--out", "page.html", "--samples", 0)
    finally:
        (made / "elsewhere").rename(made / "store")
    assert told.exit_code == 1
    expected = f"store (from {tmp_path}) holds no manifest.json, nor does {made / 'store'}; "
    assert expected in told.output
    assert f": bep evaluate {run} --shards DIR\n" in told.output
    assert f": bep explain {run} --shards DIR --class Pastures --worst 2\n" in explained.output
    assert page.exit_code == 0, page.output
    assert str(made / "store") in (tmp_path / "page.html").read_text()
    # The command on the page works from here, where the name of the folder alone does not.
    assert f"bep report {run} --shards DIR" in (tmp_path / "page.html").read_text()


def test_a_store_in_the_working_folder_is_the_first_choice(run: Path, made: Path, tmp_path: Path) -> None:
    """The path as it is written is passed over for the one of the training."""
    make_store(tmp_path / "store", {"train": 8, "validation": 4, "test": 3}, seed=5)
    told = bep("evaluate", run, "--json", "--device", "cpu")
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["count"] == 3
    assert [path.name for path in run.glob("metrics-test-*.json")], "results of another store have a name of their own"


def test_runs_without_the_absolute_path_and_edited_ones(run: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old run is refused altogether, or the store of the training used where the options name another."""
    monkeypatch.chdir(made)
    edit_description(run, lambda values: values.pop("store"))
    told = bep("evaluate", run, "--device", "cpu")
    assert told.exit_code == 0, told.output
    edit_description(run, lambda values: values.update(store={"shards": "other", "absolute": str(made / "store")}))
    monkeypatch.chdir(made.parent)
    told = bep("evaluate", run, "--device", "cpu")
    assert told.exit_code == 1
    assert "nor does" not in told.output
