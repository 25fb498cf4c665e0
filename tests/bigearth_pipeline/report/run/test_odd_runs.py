"""Reports of runs that lack files, or whose files are damaged, hostile or of the first version."""

import json
import re
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from bigearth_pipeline.report.run.report import run_report
from bigearth_pipeline.report.runs.report import runs_report
from shards import CLASSES
from shards.errors import BepError
from shards.storage.lock import exclusive
from tests.bigearth_pipeline.report.pages import Html, words
from tests.bigearth_pipeline.report.predicted import FILE, change_predictions
from tests.support.data.faults import flip_bit
from tests.support.paths import ROOT
from trainer.runs.predictions import Predictions


def test_without_predictions_the_command_is_named(run: Path) -> None:
    """A run without predictions, or one that is trained at the moment, has no report."""
    for path in run.glob("predictions-*"):
        path.unlink()
    with exclusive(run / ".lock", "in use"):
        page = Html.of(run_report(run))
    assert [section.attrib["id"] for section in page.all("section")] == ["training", "curves", "scores"]
    assert words(page.by_id("scores")).endswith("bep evaluate run --split test")
    assert "A process trains it at the moment" in words(page.by_id("training"))
    (run / "metrics.jsonl").unlink()
    assert "No epoch has ended yet." in words(Html.of(run_report(run)).by_id("curves"))


def test_a_split_that_the_store_lacks_is_not_advised(run: Path) -> None:
    """The page of a run whose store has no test split advises to evaluate the test split."""
    for path in run.glob("predictions-*"):
        path.unlink()
    path = run / "description.json"
    described = json.loads(path.read_text())
    del described["patches"]["test"]
    path.write_text(json.dumps(described))
    assert words(Html.of(run_report(run)).by_id("scores")).endswith("bep evaluate run --split validation")
    page = Html.of(runs_report([run, run]))
    assert "bep evaluate " in page.table("apart-table")["run"][0]
    assert page.table("apart-table")["run"][0].endswith("--split validation writes them")


def test_patches_without_a_country_are_no_country(run: Path, trained: Path) -> None:
    """The page of v1, whose source tells no countries, has scores `of 1 country`, the best `for unknown`."""
    table = pq.read_table(trained.parent / "store" / "index.parquet", columns=["key", "country"])
    without = {row["key"] for row in table.to_pylist() if row["country"] is None}

    def reduced(found: Predictions) -> Predictions:
        kept = np.flatnonzero([key in without for key in found.keys])
        keys = [found.keys[i] for i in kept]
        return replace(found, keys=keys, labels=found.labels[kept], probabilities=found.probabilities[kept])

    captions = Html.of(run_report(run, samples=0)).captions()
    assert "of 2 countries, and of patches whose country is unknown." in captions["groups-country-figure"]
    change_predictions(run, reduced)
    page = Html.of(run_report(run, samples=0))
    assert "groups-country-figure" not in page.captions()
    assert "does not tell countries" in words(page.by_id("groups"))


def _damage(run: Path) -> dict[str, bytes]:
    """Return contents that files of a run may have after an accident, by file."""
    predictions = (run / FILE).read_bytes()
    return {
        "config.toml": b"[model\n",
        "description.json": b"{",
        "metrics.jsonl": b'{"epoch": 7}\n',
        "metrics-test.json": b"[]",
        FILE: predictions[: len(predictions) // 2],
        "predictions-validation.parquet": b"PAR1",
    }


@pytest.mark.parametrize(
    "name",
    ["config.toml", "description.json", "metrics.jsonl", "metrics-test.json", FILE, "predictions-validation.parquet"],
)
def test_damaged_files_are_one_line(name: str, run: Path) -> None:
    """A damaged file ends in a traceback, or passes for a sound one."""
    (run / name).write_bytes(_damage(run)[name])
    with pytest.raises(BepError, match=re.escape(name)):
        run_report(run, samples=0)


def test_predictions_that_cannot_be_are_one_line(run: Path) -> None:
    """Predictions of no patch, of a patch twice, or with thresholds that are none, end in a traceback."""
    sound = Predictions.read(run / FILE)
    nothing = replace(sound, keys=[], labels=sound.labels[:0], probabilities=sound.probabilities[:0])
    for wrong, message in (
        (nothing, "holds no patch"),
        (replace(sound, keys=["a"] * len(sound.keys)), "holds a patch twice"),
        (replace(sound, about={"thresholds": {"Arable land": 0.5}}), "thresholds that are no probabilities"),
        (replace(sound, about={"thresholds": dict.fromkeys(CLASSES, "x")}), "thresholds that are no probabilities"),
    ):
        wrong.write(run / FILE, {})
        with pytest.raises(BepError, match=message):
            run_report(run, samples=0)


@pytest.mark.long
def test_a_damaged_record_is_one_line(trained: Path, run: Path, tmp_path: Path) -> None:
    """Pictures of damaged records pass for those of the store."""
    store = Path(shutil.copytree(trained.parent / "store", tmp_path / "damaged"))
    for row in pq.read_table(store / "index.parquet").to_pylist():
        flip_bit(store / f"{row['shard']}.tar", row["s2_offset"] + row["s2_length"] // 2)
    with pytest.raises(BepError, match="CRC-32C"):
        run_report(run, store=store)
    assert Html.of(run_report(run, store=store, samples=0)).by_id("groups") is not None


def test_no_label_at_all(run: Path) -> None:
    """Patches without any class, of which one is left, end in a traceback."""
    change_predictions(
        run,
        lambda found: replace(
            found, keys=["x"], labels=0 * found.labels[:1], probabilities=found.probabilities[:1], about={}
        ),
    )
    (run / "predictions-validation.parquet").unlink()
    page = Html.of(run_report(run))
    assert page.table("scores-table")["macro"][2] == "–"
    assert "No temperature was fitted" in page.captions()["reliability-figure"]
    assert "No patch has a class." in words(page.by_id("precision-recall"))


def test_the_only_one_is_not_the_lowest_too(run: Path) -> None:
    """Of a run of one epoch, patch, country and class the page says from where to where its values go."""
    change_predictions(
        run,
        lambda found: replace(
            found, keys=found.keys[:1], labels=found.labels[:1], probabilities=found.probabilities[:1]
        ),
    )
    (run / "predictions-validation.parquet").unlink()
    first = (run / "metrics.jsonl").read_text().splitlines(keepends=True)[0]
    (run / "metrics.jsonl").write_text(first)
    captions = Html.of(run_report(run, samples=0)).captions()
    assert re.search(r"Throughput [\d,.]+ patches/s;", captions["speed-figure"])
    for name in ("country", "month"):
        assert re.search(r"F1 micro is [\d.]+ % for \w+\.", captions[f"groups-{name}-figure"]), name
    change_predictions(run, lambda found: replace(found, labels=np.eye(1, len(CLASSES), dtype=np.uint8)))
    assert "highest" not in Html.of(run_report(run, samples=0)).captions()["scores-figure-classes"]


def test_a_run_without_validation_has_no_empty_chart(run: Path) -> None:
    """The page shows axes without a score."""
    for path in run.glob("predictions-*"):
        path.unlink()
    epochs = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    lines = [json.dumps({name: value for name, value in epoch.items() if name != "validation"}) for epoch in epochs]
    (run / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines))
    page = Html.of(run_report(run))
    assert "scores-figure" not in page.captions()
    assert "The run was not validated." in words(page.by_id("curves"))
    assert "of validation" not in page.captions()["loss-figure"]


HOSTILE = "<script>alert('x')</script>&\"'"


@pytest.mark.long
def test_texts_of_files_are_text(trained: Path, tmp_path: Path) -> None:
    """Whoever wrote a run runs a script in the browser of whoever looks at its report."""
    run = Path(shutil.copytree(trained, tmp_path / "<b>run&"))
    about = json.loads((run / "description.json").read_text())
    about |= {"source_version": HOSTILE, "device": HOSTILE, "versions": {HOSTILE: [HOSTILE]}, "patches": HOSTILE}
    (run / "description.json").write_text(json.dumps(about | {"parameters": "many"}))
    change_predictions(
        run, lambda found: replace(found, about=found.about | {"epoch": HOSTILE, "rows_sha256": [HOSTILE]})
    )
    page = Html.of(run_report(run, samples=0))
    assert len(page.all("script")) == 1
    assert "<script>alert" not in page.text
    assert HOSTILE in words(page.by_id("training"))
    assert words(page.all("h1")[0]) == "Run <b>run&"


def test_runs_of_the_first_version_have_reports(tmp_path: Path) -> None:
    """A run that was written before there were predictions, learning rates and seconds has no report."""
    with tarfile.open(ROOT / "tests/golden/0.1/runs.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    for name in ("finished", "stopped"):
        page = Html.of(run_report(tmp_path / name))
        assert f"bep evaluate {name} --split test" in words(page.by_id("scores"))
        assert "Learning rate is not known" in page.captions()["speed-figure"]
