"""The start of the check of labels."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bigearth_pipeline.serve.check.first import first_predicted
from bigearth_pipeline.serve.config import ServeConfig
from bigearth_pipeline.serve.contents.contents import Absent, open_contents
from shards.testing.stores import make_store
from tests.bigearth_pipeline.serve.conftest import serving
from trainer.runs.folder import split_predictions


@pytest.fixture(scope="module")
def shown(runs_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Runs of which the first one has no predictions and the second one damaged ones, and a store without any."""
    folder = tmp_path_factory.mktemp("first")
    for name in ("a", "b", "c"):
        shutil.copytree(runs_folder / "first", folder / "runs" / name)
    for split in ("test", "validation"):
        (folder / "runs/a" / split_predictions(split)).unlink()
        (folder / "runs/b" / split_predictions(split)).write_bytes(b"PAR1")
    return folder / "runs", make_store(folder / "other", {"train": 2})


def test_it_begins_where_there_are_predictions(shown: tuple[Path, Path], runs_folder: Path, tmp_path: Path) -> None:
    """A store comes first of which no run has predictions, or a damaged file ends the search."""
    runs, other = shown
    config = ServeConfig(runs=(runs,), stores=(other, runs_folder.parent / "store"), verdicts=tmp_path / "v.csv")
    with open_contents(config, pytest.fail) as contents:
        assert first_predicted(contents) == (2, 1)
        assert first_predicted(contents, run=2) == first_predicted(contents, store=1) == (2, 1)
        assert first_predicted(contents, run=0) is first_predicted(contents, store=0) is None
        with pytest.raises(Absent, match="no run 9"):
            first_predicted(contents, run=9)


@pytest.mark.long
def test_the_page_begins_there(
    shown: tuple[Path, Path], runs_folder: Path, tmp_path: Path, look: Callable[..., Any]
) -> None:
    """The page opens on an error though there is something to check, or does not say why there is nothing."""
    runs, other = shown
    stores = ("--shards", other, "--shards", runs_folder.parent / "store")
    with serving(runs, *stores, "--verdicts", tmp_path / "v.csv", "--device", "cpu") as (address, _):
        page = look("#/check", base=address)
        page.wait_for_selector(".verdicts")
        assert "store=1&run=2" in page.url
    with serving(runs / "a", "--shards", other, "--verdicts", tmp_path / "v.csv", "--device", "cpu") as (address, _):
        page = look("#/check", base=address)
        page.wait_for_selector("#pair p")
        assert page.inner_text("#pair").startswith("No run here has predictions on patches of a store here")
