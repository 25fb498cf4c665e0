"""Verdicts on labels: their file, and what training takes of it."""

import csv
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.serve.app import create_app
from bigearth_pipeline.serve.check.verdicts import COLUMNS, Verdicts
from bigearth_pipeline.serve.config import ServeConfig
from bigearth_pipeline.serve.contents.contents import Contents, open_contents
from trainer.data.subset.patch_list import listed_rows
from trainer.data.subset.rows import Subset, select


def test_pairs_are_those_that_disagree_the_most_certain_first(client: Any, contents: Contents) -> None:
    """A pair on which run and label agree is shown, one is left out, or an uncertain one comes first."""
    found = client.get("/api/check/pairs", params={"store": 0, "run": 0, "count": 200}).json()
    predicted = contents.runs[0].predicted(contents.stores[0])
    assert predicted is not None
    truth = contents.stores[0].labels[predicted.rows].astype(bool)
    assert found["count"] == (predicted.decided != truth).sum() > 0
    distances = [abs(pair["probability"] - pair["has_label"]) for pair in found["pairs"]]
    assert distances == sorted(distances, reverse=True)
    some = client.get("/api/check/pairs", params={"store": 0, "run": 0, "label": 2}).json()
    assert {pair["label"] for pair in some["pairs"]} <= {2}


def test_verdicts_get_into_the_file_and_leave_patches_out(client: Any, contents: Contents, tmp_path: Path) -> None:
    """A verdict is lost, is of another pair, or training does not take what it leads to."""
    pairs = client.get("/api/check/pairs", params={"store": 0, "run": 0}).json()["pairs"][:3]
    for pair, verdict in zip(pairs, ("unsure", "wrong", "right"), strict=True):
        body = {"store": 0, "run": 0, "key": pair["key"], "label": pair["label"], "verdict": verdict}
        answer = client.post("/api/check/verdicts", json=body)
        assert answer.json()["probability"] == pytest.approx(pair["probability"], abs=1e-4)
    lines = list(csv.reader(contents.config.verdicts.read_text().splitlines()))
    assert tuple(lines[0]) == COLUMNS == ("key", "class", "label", "probability", "verdict", "time")
    assert [line[0] for line in lines[1:]] == [pair["key"] for pair in pairs]
    left = client.get("/api/check/pairs", params={"store": 0, "run": 0, "unjudged": True}).json()
    assert (pairs[0]["key"], pairs[0]["label"]) not in [(pair["key"], pair["label"]) for pair in left["pairs"]]
    assert left["judged"] == 3
    other = next(number for number in range(19) if number not in [pair["label"] for pair in pairs])
    assert client.get("/api/check/pairs", params={"store": 0, "run": 0, "label": other}).json()["judged"] == 0
    excluded = client.get("/api/check/exclude").json()
    assert excluded["keys"] == [pairs[1]["key"]]
    kept = tmp_path / "kept.txt"
    kept.write_bytes(client.get("/api/check/kept.txt", params={"store": 0}).content)
    index = contents.stores[0].store.index
    rows = listed_rows(kept, index)
    assert len(rows) == 87
    assert contents.stores[0].row_of(pairs[1]["key"]) not in rows
    chosen = select(Subset(where=excluded["where"]), index, 0)
    np.testing.assert_array_equal(np.concatenate(list(chosen.values())), rows)
    assert client.get("/api/check/verdicts.csv").text.count("\n") == 4


def test_a_later_verdict_replaces_an_earlier_one(tmp_path: Path) -> None:
    """A mistake cannot be undone, or is undone only until the server starts again."""
    path = tmp_path / "v.csv"
    verdicts = Verdicts(path)
    verdicts.add("a", "Pastures", 1, 0.25, "wrong")
    assert verdicts.condition() == "key not in ('a')"
    verdicts.add("a", "Pastures", 1, 0.25, "right")
    for found in (verdicts, Verdicts(path)):
        assert found.condition() == ""
        assert len(found) == 1
    assert len(path.read_text().splitlines()) == 3


def test_a_line_that_was_cut_off_is_no_verdict(tmp_path: Path) -> None:
    """A full disk loses the verdicts before it, or joins two lines."""
    path = tmp_path / "v.csv"
    Verdicts(path).add("a", "Pastures", 1, 0.25, "wrong")
    whole = path.read_bytes()
    for end in range(len(whole) - 20, len(whole)):
        path.write_bytes(whole[:end])
        found = Verdicts(path)
        found.add("b", "Marine waters", 0, 0.9, "wrong")
        assert "b" in Verdicts(path).wrong_keys()


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"\xff\xfe", b'"', b"key\n" * 10])
def test_other_files_are_not_written_to(tmp_path: Path, content: bytes) -> None:
    """A file of the user is appended to."""
    path = tmp_path / "v.csv"
    path.write_bytes(content)
    with pytest.raises(PipelineError, match=r"v\.csv"):
        Verdicts(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("first", [True, False])
def test_a_verdict_that_could_not_be_written_spoils_no_other(first: bool, tmp_path: Path) -> None:
    """On a full disk half a line stays; the next verdict becomes a part of it, and is missed at the next start."""
    path = tmp_path / "verdicts.csv"
    found = Verdicts(path)
    if not first:
        found.add("a", "Pastures", 1, 0.1, "wrong")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((0 if first else path.stat().st_size) + 10, before[1]))
    try:
        with pytest.raises(OSError, match=r"File too large.*verdicts\.csv"):
            found.add("b", "Pastures", 1, 0.1, "wrong")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.exists() != first
    assert Verdicts(path).wrong_keys() == ([] if first else ["a"])
    found.add("c", "Pastures", 1, 0.1, "wrong")
    assert Verdicts(path).wrong_keys() == (["c"] if first else ["a", "c"])


def test_the_file_is_what_counts(tmp_path: Path) -> None:
    """The page shows verdicts that the file lacks, or another server's are missed or written over."""
    path = tmp_path / "v.csv"
    first, second = Verdicts(path), Verdicts(path)
    first.add("a", "Pastures", 1, 0.25, "wrong")
    second.add("b", "Pastures", 1, 0.25, "wrong")
    assert first.wrong_keys() == second.wrong_keys() == Verdicts(path).wrong_keys() == ["a", "b"]
    path.write_text("".join(path.read_text().splitlines(keepends=True)[::2]))
    assert first.wrong_keys() == ["b"]
    path.unlink()
    assert first.all() == []
    first.add("c", "Pastures", 1, 0.25, "wrong")
    assert second.wrong_keys() == Verdicts(path).wrong_keys() == ["c"]


def test_another_file_that_came_meanwhile_is_not_written_to(tmp_path: Path) -> None:
    """A line is appended to a file of the user that has taken the place of the verdicts."""
    path = tmp_path / "v.csv"
    found = Verdicts(path)
    found.add("a", "Pastures", 1, 0.25, "wrong")
    path.write_text("a,b\n1,2\n")
    for ask in (found.all, lambda: found.add("b", "Pastures", 1, 0.25, "wrong")):
        with pytest.raises(PipelineError, match=r"v\.csv has other columns"):
            ask()
    assert path.read_text() == "a,b\n1,2\n"


def test_a_verdict_that_cannot_be_written_is_refused_in_one_line(runs_folder: Path, tmp_path: Path) -> None:
    """A full disk, or a folder that is gone, is an internal error with a traceback."""
    from starlette.testclient import TestClient

    folder = tmp_path / "folder"
    folder.mkdir()
    config = ServeConfig(runs=(runs_folder / "first",), verdicts=folder / "v.csv", device="cpu")
    with open_contents(config, pytest.fail) as opened:
        client = TestClient(create_app(opened), base_url="http://127.0.0.1:8765")
        [pair] = client.get("/api/check/pairs", params={"store": 0, "run": 0, "count": 1}).json()["pairs"]
        folder.rmdir()
        body = {"store": 0, "run": 0, "key": pair["key"], "label": pair["label"], "verdict": "right"}
        answer = client.post("/api/check/verdicts", json=body)
        assert answer.status_code == 409
        assert "v.csv: No such file or directory" in answer.json()["detail"]


def test_verdicts_on_what_was_not_predicted_are_refused(client: Any) -> None:
    """A verdict has a probability that no run has given."""
    for key, status in (("train_1", 404), ("absent", 404), ("../x", 422)):
        body = {"store": 0, "run": 0, "key": key, "label": 0, "verdict": "right"}
        assert client.post("/api/check/verdicts", json=body).status_code == status


def test_a_run_without_predictions_says_how_to_make_them(
    client: Any, contents: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list is empty without a word, or the line is no command."""
    run, store = contents.runs[1], contents.stores[0]
    monkeypatch.setattr(type(run), "predicted", lambda *_: None)
    answer = client.get("/api/check/pairs", params={"store": 0, "run": 1})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["msg"].endswith(f"write them: bep evaluate {run.folder} --shards {store.folder}")
