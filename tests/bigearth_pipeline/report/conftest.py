"""Small stores, and their pages."""

import shutil
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from bigearth_pipeline.build.config import BuildConfig
from bigearth_pipeline.build.reports import write_quarantine, write_unmatched
from bigearth_pipeline.build.select import NO_FOLDER, Quarantined, Selection
from bigearth_pipeline.report.store.report import store_report
from shards.testing.stores import make_store
from tests.bigearth_pipeline.report.pages import Html
from tests.bigearth_pipeline.report.predicted import change_predictions, shuffled

COUNTS = {"train": 20, "validation": 8, "test": 6}
COUNTRIES = ("Ireland", "Serbia", None, "Ireland")
DATES = (
    datetime(2017, 6, 13),
    datetime(2017, 12, 1),
    datetime(2018, 1, 5, 9, 30),
    datetime(2018, 5, 9),
    datetime(2017, 10, 2),
)


def with_lists(folder: Path) -> Path:
    """Add the lists of a build that could not use three patches, whose names and paths are long, to a store."""
    name = "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_5"
    paths = [f"/data/BigEarthNet-S2/{name[:-5]}/{name}{i}" for i in range(3)]
    bad = [
        Quarantined(f"{name}{i}", path, f"{path}/{name}{i}_B02.tif ends at byte 500") for i, path in enumerate(paths)
    ]
    write_quarantine(folder, bad)
    write_unmatched(BuildConfig(sources=(), out=folder), Selection(unmatched=[(NO_FOLDER, name)]))
    return folder


@pytest.fixture(scope="package")
def tar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WebDataset store of 34 patches in several countries and months."""
    return with_lists(make_store(tmp_path_factory.mktemp("report") / "tar", COUNTS, countries=COUNTRIES, dates=DATES))


@pytest.fixture(scope="package")
def zarr(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same patches as a Zarr store."""
    folder = tmp_path_factory.mktemp("report") / "zarr"
    return with_lists(make_store(folder, COUNTS, countries=COUNTRIES, dates=DATES, format="zarr"))


@pytest.fixture(scope="package")
def content(tar: Path) -> bytes:
    """The report of the WebDataset store."""
    return store_report(tar, per_class=1)


@pytest.fixture(scope="package")
def page(content: bytes) -> Html:
    """The report of the WebDataset store, parsed."""
    return Html.of(content)


CORNERS = tuple((300_000.0 + 100_000 * (i % 4), 5_400_000.0 + 100_000 * (i // 4)) for i in range(8))
"""Upper-left corners of patches in eight squares of 100 km, m."""


@pytest.fixture(scope="package")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs on a store beside it, `store`, with predictions of the validation and test splits."""
    import torch

    from trainer.config.options import TrainConfig
    from trainer.evaluation.run import EvaluationConfig, evaluate_run
    from trainer.training.start import train

    # The network is tiny: threads that wait for each other would take most of the time.
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("run")
    counts = {"train": 48, "validation": 32, "test": 40}
    store = make_store(folder / "store", counts, countries=COUNTRIES, dates=DATES, corners=CORNERS)
    train(TrainConfig.of(shards=store, out=folder / "run", epochs=2, batch_size=8, lr=0.003, test=True))
    evaluate_run(EvaluationConfig(run=folder / "run", split="validation"))
    return folder / "run"


@pytest.fixture(scope="package")
def run_content(trained: Path) -> bytes:
    """The report of the run."""
    from bigearth_pipeline.report.run.report import run_report

    return run_report(trained, samples=1)


@pytest.fixture(scope="package")
def other(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the run whose predictions of the test split are other ones, in another order."""
    folder = tmp_path_factory.mktemp("other") / "other"
    shutil.copytree(trained, folder)
    # The results beside them are of another checkpoint, so the page has to compute these ones.
    change_predictions(
        folder, lambda found: replace(shuffled(found, noise=3.0), about=found.about | {"checkpoint": "other.pt"})
    )
    return folder


@pytest.fixture(scope="package")
def runs_content(trained: Path, other: Path) -> bytes:
    """The report of both runs."""
    from bigearth_pipeline.report.runs.report import runs_report

    return runs_report([trained, other])


@pytest.fixture(scope="package")
def explain_content(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The page of explanations of a patch of the run, with the tests and scores of the methods."""
    from bigearth_pipeline.progress import Silent
    from bigearth_pipeline.report.explain.config import ExplainConfig
    from bigearth_pipeline.report.explain.work import explain

    out = tmp_path_factory.mktemp("explained") / "out"
    methods = ("grad-cam", "band-occlusion", "permutation")
    config = ExplainConfig(run=trained, out=out, worst=1, per_patch=1, methods=methods, patches=10, score=True)
    explain(config, Silent())
    return (out / "index.html").read_bytes()
