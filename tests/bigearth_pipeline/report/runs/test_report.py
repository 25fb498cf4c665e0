"""The report of several runs, beside what their files say."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from sklearn.metrics import average_precision_score

from bigearth_pipeline.report.runs.contents import open_runs
from bigearth_pipeline.report.runs.report import runs_report
from shards import CLASSES
from tests.bigearth_pipeline.report.pages import Html, number, words
from tests.bigearth_pipeline.report.predicted import FILE, change_predictions, read_columns


@pytest.fixture(scope="module")
def page(runs_content: bytes) -> Html:
    """The report of both runs, parsed."""
    return Html.of(runs_content)


def test_a_run_does_not_differ_from_itself(trained: Path) -> None:
    """A run is better or worse than itself."""
    page = Html.of(runs_report([trained, trained]))
    table = page.table("differences-1")
    for i, name in enumerate(CLASSES):
        expected = "not defined" if i >= 6 else "no difference"
        assert table[name][-1] == expected
        assert table[name][3] == ("–" if i >= 6 else "0.0")
    assert table["macro"][3:] == ["0.0", "0.0 to 0.0", "no difference"]
    assert page.table("differences-table")["run (2)"] == ["0.0", "0.0 to 0.0", "no difference"] * 2 + ["0", "0"]
    with open_runs([trained, trained]) as contents:
        for score in ("ap", "f1"):
            found = contents.differences(1, 0, score)
            assert all(each.value in (None, 0) and each.low in (None, 0) and each.high in (None, 0) for each in found)


def test_differences_are_of_the_same_patches(page: Html, trained: Path, other: Path) -> None:
    """Predictions in another order are compared row by row, or a difference is not that of the scores."""
    one, two = read_columns(trained / FILE), read_columns(other / FILE)
    assert one.keys != two.keys
    table = page.table("differences-1")
    for i in range(6):
        aps = [average_precision_score(each.labels[:, i], each.probabilities[:, i]) for each in (one, two)]
        row = table[CLASSES[i]]
        assert [number(row[1]), number(row[2])] == pytest.approx([100 * ap for ap in aps], abs=0.051)
        assert number(row[3].replace("+", "")) == pytest.approx(100 * (aps[1] - aps[0]), abs=0.051)
        low, high = (number(end.replace("+", "")) for end in row[4].split(" to "))
        beyond = "larger than the noise" in row[5]
        assert beyond == (low > 0 or high < 0)
    assert page.table("differences-table")["other"][2] == "below, larger than the noise"
    summary = page.table("runs-table")
    assert set(summary) == {"run", "other"}
    place = page.columns("runs-table").index("AP macro, same patches, %") - 1
    assert number(summary["run"][place]) == number(table["macro"][1])
    assert number(summary["other"][place]) == number(table["macro"][2])


def test_a_score_is_one_number_on_the_page(trained: Path, tmp_path: Path) -> None:
    """Tables round two numbers that should be one: that of the evaluation, and that of rounded probabilities."""
    run = Path(shutil.copytree(trained, tmp_path / "copy"))
    path = run / "metrics-test.json"
    result = json.loads(path.read_text())
    value = result["ap_macro"] = result["ap_macro"] - 0.0123
    path.write_text(json.dumps(result))
    page = Html.of(runs_report([run, trained]))
    place = page.columns("work-table").index("test AP macro, %") - 1
    expected = page.table("work-table")["copy"][place]
    assert number(expected) == pytest.approx(100 * value, abs=0.051)
    place = page.columns("runs-table").index("AP macro, same patches, %") - 1
    assert page.table("runs-table")["copy"][place] == page.table("differences-1")["macro"][1] == expected
    assert page.table("differences-1")["macro"][3] == "+1.2"


def test_scores_of_other_patches_are_marked(trained: Path, tmp_path: Path) -> None:
    """Scores of different patches stand in one table and in one chart as if they compared."""
    run = Path(shutil.copytree(trained, tmp_path / "other"))
    path = run / "description.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"scored": {"validation": "x", "test": "y"}}))
    page = Html.of(runs_report([trained, run, trained]))
    assert page.columns("work-table")[1] == "scored on"
    assert [row[0] for row in page.table("work-table").values()] == ["A", "B", "A"]
    for name in ("trade-offs-figure", "runs-ap-figure", "runs-loss-figure"):
        assert "with different letters" in page.captions()[name]
        assert "Highest" not in page.captions()[name]
    assert "letters" not in page.captions()["runs-train-figure"]


def test_charts_are_there(page: Html) -> None:
    """A chart is lost, or shows a single run."""
    figures = page.captions()
    names = ["trade-offs-figure", "runs-train-figure", "runs-loss-figure", "runs-ap-figure", "runs-time-figure"]
    assert list(figures) == [*names, "differences-figure"]
    assert all("2 runs" in figures[name] for name in names)
    assert page.columns("work-table")[1] == "validation AP macro, %"


def test_other_patches_are_not_compared(trained: Path, other: Path, tmp_path: Path) -> None:
    """Scores of other patches, or of patches with other labels, are compared; or nobody learns why they are not."""
    names = ("fewer", "others", "labels", "none")
    runs = [trained, *(Path(shutil.copytree(other, tmp_path / name)) for name in names)]
    change_predictions(
        runs[1],
        lambda found: replace(
            found, keys=found.keys[:30], labels=found.labels[:30], probabilities=found.probabilities[:30]
        ),
    )
    change_predictions(runs[2], lambda found: replace(found, keys=["x", *found.keys[1:]]))
    change_predictions(runs[3], lambda found: replace(found, labels=1 - found.labels))
    (runs[4] / FILE).unlink()
    page = Html.of(runs_report(runs))
    assert page.table("apart-table") == {
        "fewer": ["evaluated on other patches: 30 patches, of which 30 are among the 40 of the first run"],
        "others": ["evaluated on other patches: 40 patches, of which 39 are among the 40 of the first run"],
        "labels": ["evaluated on other labels: those of 40 patches differ"],
        "none": [f"no predictions of the test split; bep evaluate {runs[4]} --split test writes them"],
    }
    assert "none are compared" in words(page.by_id("differences"))
    assert "differences-table" not in page.text
    place = page.columns("runs-table").index("AP macro, same patches, %") - 1
    assert [row[place] for row in page.table("runs-table").values()][1:] == ["–"] * 4
    page = Html.of(runs_report([runs[4], *runs[:2], other]))
    assert set(page.table("apart-table")) == {"none", "fewer"}
    assert "Differences are to run, the first run that has predictions" in words(page.by_id("differences"))


def test_runs_without_predictions_or_epochs_are_listed(trained: Path, tmp_path: Path) -> None:
    """Runs that have just begun end in a traceback."""
    runs = [Path(shutil.copytree(trained, tmp_path / name)) for name in ("a/run", "b/run")]
    for run in runs:
        for path in [*run.glob("predictions-*"), run / "metrics.jsonl", run / "metrics-test.json"]:
            path.unlink()
    page = Html.of(runs_report(runs))
    assert set(page.table("runs-table")) == {"a/run", "b/run"}
    assert "No epoch of these runs has ended yet" in words(page.by_id("curves"))


@pytest.mark.long
def test_many_runs_are_all_in_the_table(trained: Path) -> None:
    """More runs than there are colours end in a traceback, or are left out of the table in silence."""
    page = Html.of(runs_report([trained] * 20))
    assert len(page.table("runs-table")) == 20
    assert "Charts show the first 18 of 20 runs" in page.captions()["trade-offs-figure"]
    assert "Shown are the first 6 of 19 runs" in page.captions()["differences-figure"]


def test_the_same_runs_give_the_same_bytes(trained: Path, other: Path, runs_content: bytes) -> None:
    """A report differs from one time to the next."""
    assert runs_report([trained, other]) == runs_content
