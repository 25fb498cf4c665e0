"""The report of a run, read back from the HTML and compared with the files of the run and its store."""

import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.report.run.report import run_report
from bigearth_pipeline.report.scores.calibration import fit_temperature
from shards import CLASSES
from shards.testing.stores import make_store
from tests.bigearth_pipeline.report.pages import Html, number, words
from tests.bigearth_pipeline.report.predicted import FILE, change_predictions, read_columns
from trainer.runs.predictions import Predictions

SECTIONS = ["training", "curves", "scores", "precision-recall", "calibration", "mistakes", "groups", "examples"]
SECTIONS += ["explanations"]


@pytest.fixture(scope="module")
def page(run_content: bytes) -> Html:
    """The report of the run, parsed."""
    return Html.of(run_content)


def thresholds(run: Path) -> np.ndarray:  # type: ignore[type-arg]
    about = json.loads(pq.read_schema(run / FILE).metadata[b"bep"])
    return np.array([about["thresholds"][name] for name in CLASSES])


def test_all_sections_are_there_and_nothing_is_asked_for(page: Html) -> None:
    """A part of the report is lost, has no caption, shares an identifier with another one, or makes a request."""
    assert [section.attrib["id"] for section in page.all("section")] == SECTIONS
    captions = page.captions()
    assert all(re.search(r"\d", caption) and caption.endswith(".") for caption in captions.values()), captions
    counts = Counter(element.attrib["id"] for element in page.root.iter() if "id" in element.attrib)
    assert [name for name, times in counts.items() if times > 1] == []
    for tag, target in page.links():
        assert target.startswith("data:") or (target.startswith("#") and target[1:] in counts), (tag, target)


def test_scores_are_those_of_the_predictions(page: Html, trained: Path) -> None:
    """A score, its support or its tiles are not those of the file of predictions."""
    found, table = read_columns(trained / FILE), page.table("scores-table")
    index = pq.read_table(trained.parent / "store/index.parquet").to_pylist()
    square = {row["key"]: (row["ulx"] // 100_000, row["uly"] // 100_000) for row in index}
    predicted = found.probabilities >= thresholds(trained)
    aps, f1s = [], []
    for i, name in enumerate(CLASSES):
        has = found.labels[:, i] > 0
        patches, tiles, ap, interval, f1, _, fixed, area, threshold = table[name]
        assert number(patches) == has.sum()
        assert number(tiles) == len({square[key] for key, own in zip(found.keys, has, strict=True) if own})
        assert number(threshold) == pytest.approx(thresholds(trained)[i], abs=6e-4)
        if not has.any():
            assert ap == interval == f1 == area == "–"
            continue
        aps.append(average_precision_score(has, found.probabilities[:, i]))
        f1s.append(f1_score(has, predicted[:, i], zero_division=0))
        assert number(ap) == pytest.approx(100 * aps[-1], abs=0.051)
        assert number(f1) == pytest.approx(100 * f1s[-1], abs=0.051)
        assert number(fixed) == pytest.approx(
            100 * f1_score(has, found.probabilities[:, i] >= 0.5, zero_division=0), abs=0.051
        )
        assert number(area) == pytest.approx(100 * roc_auc_score(has, found.probabilities[:, i]), abs=0.051)
        low, high = map(number, interval.split(" to "))
        assert low <= number(ap) <= high
    assert number(table["macro"][2]) == pytest.approx(100 * np.mean(aps), abs=0.051)
    assert number(table["macro"][4]) == pytest.approx(100 * np.mean(f1s), abs=0.051)
    result = json.loads((trained / "metrics-test.json").read_text())
    assert number(table["macro"][2]) == pytest.approx(100 * result["ap_macro"], abs=0.051)
    assert "8 squares of 100 km" in page.captions()["scores-figure-classes"]


def test_curves_are_those_of_the_metrics(page: Html, trained: Path) -> None:
    """The table of epochs tells other numbers than the run wrote."""
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    table = page.table("epochs-table")
    for line in lines:
        row = table[str(line["epoch"])]
        assert number(row[0]) == pytest.approx(line["train_loss"], abs=6e-5)
        assert number(row[2]) == pytest.approx(100 * line["validation"]["ap_macro"], abs=0.051)
        assert number(row[5]) == pytest.approx(line["lr"], abs=6e-7)
        assert number(row[6]) == pytest.approx(line["patches_per_second"], abs=0.51)
    assert {"loss-figure", "scores-figure", "speed-figure"} <= set(page.captions())
    assert page.table("options-table")["optimisation.lr"] == ["0.003"]


def test_countries_and_months_are_those_of_the_store(page: Html, trained: Path) -> None:
    """Patches count for another country or month, or scores are of other patches."""
    found = read_columns(trained / FILE)
    index = {row["key"]: row for row in pq.read_table(trained.parent / "store/index.parquet").to_pylist()}
    predicted = found.probabilities >= thresholds(trained)
    for table, name_of in (
        ("groups-country-table", lambda row: row["country"] or "unknown"),
        ("groups-month-table", lambda row: f"{row['date']:%b}"),
    ):
        names = np.array([name_of(index[key]) for key in found.keys])
        rows = page.table(table)
        assert set(rows) == set(names)
        for name, row in rows.items():
            own = names == name
            assert number(row[0]) == own.sum()
            ap = average_precision_score(found.labels[own].ravel(), found.probabilities[own].ravel())
            assert number(row[4]) == pytest.approx(100 * ap, abs=0.051)
            f1 = f1_score(found.labels[own].ravel(), predicted[own].ravel())
            assert number(row[5]) == pytest.approx(100 * f1, abs=0.051)


def test_examples_are_the_extremes(page: Html, trained: Path) -> None:
    """A patch that is neither best nor worst is shown as such, or with the probabilities of another one."""
    found = read_columns(trained / FILE)
    values = np.clip(found.probabilities, 2.0**-25, 1 - 2.0**-12)
    loss = -np.log(np.where(found.labels > 0, values, 1 - values)).mean(axis=1)
    notes = [words(note) for note in page.by_id("examples").iter("p") if note.get("class") == "note"]
    assert len(notes) == 9
    for note, row in ((notes[0], loss.argmin()), (notes[3], loss.argmax())):
        assert note.startswith(f"{found.keys[row]}. ")
        assert f"Loss {loss[row]:.3f}" in note
        for share in re.findall(r"(\d+) %", note):
            assert int(share) in np.round(100 * found.probabilities[row]).astype(int)
    assert len(list(page.by_id("examples").iter("img"))) == 27
    assert all(image.attrib["src"].startswith("data:image/png;base64,") for image in page.all("img"))


def test_the_worst_patch_is_explained(page: Html, trained: Path) -> None:
    """Another patch is explained, or its bands do not add up to what they explain."""
    found = read_columns(trained / FILE)
    values = np.clip(found.probabilities, 2.0**-25, 1 - 2.0**-12)
    worst = int((-np.log(np.where(found.labels > 0, values, 1 - values)).mean(axis=1)).argmax())
    section = page.by_id("explanations")
    notes = [words(note) for note in section.iter("p") if note.get("class") == "note"]
    rows = [[words(cell) for cell in row.iter("td")] for row in section.iter("tr")]
    rows = [row for row in rows if row]
    assert 1 <= len(rows) == len([note for note in notes if note]) <= 3
    for row in rows:
        assert row[0] == found.keys[worst]
        column = CLASSES.index(row[1])
        (note,) = [note for note in notes if note.startswith(f"{row[1]}: ")]
        probability = re.search(r"probability (\d\.\d+)", note)
        assert probability is not None
        assert float(probability[1]) == pytest.approx(found.probabilities[worst, column], abs=0.0051)
        bands, total = [number(cell) for cell in row[2:-2]], number(row[-2])
        assert len(bands) == 12
        assert sum(bands) == pytest.approx(total, abs=0.07)
    # The patch itself, and two maps for each class.
    assert len(list(section.iter("img"))) == 1 + 2 * len(rows)


@pytest.mark.long
def test_why_nothing_is_explained_is_said(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report ends where Captum or the weights are absent, or explains the predictions of other weights."""

    def section(samples: int = 1) -> str:
        return words(Html.of(run_report(run, samples=samples)).by_id("explanations"))

    assert "left out on request" in section(0)
    with monkeypatch.context() as patch:
        patch.setattr("bigearth_pipeline.extra.find_spec", lambda module: None)
        assert "pip install 'bigearth-pipeline[explain]'" in section()
    change_predictions(run, lambda found: replace(found, about=found.about | {"epoch": 7}))
    assert "not those of the best checkpoint" in section()
    (run / "checkpoints/best.pt").write_bytes(b"")
    assert "cannot be read" in section()


@pytest.mark.long
def test_the_temperature_is_of_the_validation_split(page: Html, run: Path) -> None:
    """The temperature is fitted on the patches that it is applied to, or the page does not say on which."""
    caption, temperatures = page.captions()["reliability-figure"], []
    for name in ("predictions-validation.parquet", FILE):
        found = Predictions.read(run / name)
        temperatures.append(f"{fit_temperature(found.probabilities, found.labels):.3f}")
    assert temperatures[0] != temperatures[1]
    assert f"The temperature, {temperatures[0]}, was fitted on the 32 patches of the validation split" in caption
    change_predictions(run, lambda found: replace(found, about=found.about | {"epoch": 7}))
    page = Html.of(run_report(run, samples=0))
    assert "The predictions are of epoch 7, the best checkpoint is of epoch" in words(page.by_id("training"))
    caption = page.captions()["reliability-figure"]
    assert "was cross-fitted over squares of 100 km" in caption
    assert "bep evaluate run --split validation writes them" in caption


@pytest.mark.long
def test_the_same_run_gives_the_same_bytes(trained: Path, run: Path, run_content: bytes) -> None:
    """A report differs from one time to the next, or by the folder's place."""
    assert run_report(run, samples=1) == run_content


def test_a_split_can_be_chosen(trained: Path) -> None:
    """The validation split passes for the test split, or F1 at thresholds tuned on it for an honest score."""
    page = Html.of(run_report(trained, split="validation", samples=0))
    assert "Scores of the validation split by class" in words(page.by_id("scores"))
    assert "tuned on these very patches" in page.captions()["scores-figure-classes"]
    assert "this is the validation split itself" in page.captions()["reliability-figure"]
    found = read_columns(trained / "predictions-validation.parquet")
    ap = average_precision_score(found.labels[:, 0], found.probabilities[:, 0])
    assert number(page.table("scores-table")[CLASSES[0]][2]) == pytest.approx(100 * ap, abs=0.051)


@pytest.mark.long
def test_without_its_store_the_rest_is_there(trained: Path, run: Path, tmp_path: Path) -> None:
    """A store that was moved takes the report away, another one passes for it, or naming it does not help."""
    store = trained.parent / "store"
    moved = Path(shutil.copytree(store, tmp_path / "moved"))
    config = run / "config.toml"
    config.write_text(config.read_text().replace(str(store), str(tmp_path / "gone")))
    page = Html.of(run_report(run))
    assert [section.attrib["id"] for section in page.all("section")] == SECTIONS
    for name in ("groups", "examples", "explanations"):
        assert f"{tmp_path / 'gone'} is absent" in words(page.by_id(name))
        assert "bep report run --shards DIR" in words(page.by_id(name))
    assert "There are no intervals" in page.captions()["scores-figure-classes"]
    page = Html.of(run_report(run, store=moved, samples=1))
    assert len(list(page.by_id("examples").iter("img"))) == 27
    assert f"bep explain run --worst 5 --shards {moved}" in words(page.by_id("explanations"))
    with pytest.raises(PipelineError, match=r"gone is no folder of a store"):
        run_report(run, store=tmp_path / "gone")
    other = make_store(tmp_path / "gone", {"test": 40}, seed=1)
    with pytest.raises(PipelineError, match="have other labels there"):
        run_report(run, store=other)
    assert "is not that of the predictions" in words(Html.of(run_report(run)).by_id("groups"))
    few = make_store(tmp_path / "few", {"test": 30})
    with pytest.raises(PipelineError, match="it lacks 10 patches of 40"):
        run_report(run, store=few)
    shutil.rmtree(tmp_path / "gone")
    (run / FILE).unlink()
    (run / "predictions-validation.parquet").unlink()
    page = Html.of(run_report(run))
    assert words(page.by_id("scores")).endswith("bep evaluate run --split test --shards DIR")
