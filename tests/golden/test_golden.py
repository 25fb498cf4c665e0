"""Golden data: what released versions have made is read, verified, built anew, evaluated and resumed by this one."""

import json
import shutil
import tarfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import shards
from bigearth_pipeline.verify.store import verify_store
from tests.golden import reading
from tests.golden.stores import STORES, build_golden
from tests.support.data.building import contents
from trainer.evaluation.run import EvaluationConfig, evaluate_run
from trainer.models.create import create
from trainer.runs.checkpoint import Checkpoint
from trainer.training.start import resume

HERE = Path(__file__).parent
DATA = "webdataset-blosc-lz4"


class Golden(NamedTuple):
    """Files that a version has made, unpacked, and what is expected of them."""

    folder: Path
    expected: dict[str, Any]


@pytest.fixture(scope="module", params=sorted(path.parent.name for path in HERE.glob("*/expected.json")))
def golden(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Golden]:
    """The golden data of each version."""
    folder = tmp_path_factory.mktemp("golden")
    for name in ("stores", "runs"):
        with tarfile.open(HERE / request.param / f"{name}.tar.xz") as archive:
            archive.extractall(folder, filter="data")
    yield Golden(folder, json.loads((HERE / request.param / "expected.json").read_bytes()))
    shutil.rmtree(folder)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Let torch add in the same order on every machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", STORES)
def test_a_store_is_read_as_it_was_written(golden: Golden, name: str) -> None:
    """A store gives other pixels or facts than it was given, or its files were changed."""
    expected = golden.expected["stores"][name]
    selection = golden.expected["selections"][expected["selection"]]
    files = contents(golden.folder / name)
    assert {path: reading.sha256(content) for path, content in files.items()} == expected["files"]
    with shards.open(golden.folder / name, num_threads=1) as store:
        records = store.read_into(range(len(store)), np.zeros((len(store), shards.RECORD_VALUES), np.uint16))
        found = {}
        for row in range(len(store)):
            patch = store.read(row, verify=True)
            assert np.array_equal(patch.s2, records[row])
            facts = {fact: getattr(patch, fact) for fact in selection["patches"][patch.key] if hasattr(patch, fact)}
            facts |= {"labels": list(patch.labels), "date": patch.date.isoformat()}
            facts |= {fact: store.index.table[fact][row].as_py() for fact in ("shard", "position")}
            found[patch.key] = facts | {"sha256": reading.sha256(patch.s2.astype("<u2").tobytes())}
        splits = store.manifest.splits
        assert store.manifest.left_out == expected["left_out"]
    assert found == selection["patches"]
    assert list(found) == list(selection["patches"])
    for split, bands in selection["statistics"].items():
        for band, facts in bands.items():
            given = splits[split].statistics[band].to_json()
            given |= {"percentiles": list(given["percentiles"].values())}
            assert given == {fact: pytest.approx(value, rel=1e-12) for fact, value in facts.items()}


@pytest.mark.long
@pytest.mark.parametrize("name", STORES)
def test_a_store_passes_verification(golden: Golden, name: str) -> None:
    """A store that is whole is called damaged, or unlike its source."""
    findings = verify_store(golden.folder / name, against=[golden.folder / "source"])
    assert (findings.problems, findings.outdated) == ([], [])
    assert findings.patches == findings.compared == 24


@pytest.mark.parametrize("name", STORES)
def test_a_build_gives_the_same_bytes(golden: Golden, name: str, scheduler: str, tmp_path: Path) -> None:
    """The same source, seed and options give another store than they did."""
    build_golden(name, golden.folder / "source", tmp_path / "store", scheduler)
    old, new = contents(golden.folder / name), contents(tmp_path / "store")
    assert new.keys() == old.keys()
    # Paths are of the machine.
    here = f"{golden.folder}/".encode()
    # The checksum of a note is of its fields, and so of the paths in it; older notes had none.
    note, note_before = (json.loads(files.pop("build.json").replace(here, b"")) for files in (new, old))
    assert {name: note[name] for name in note if name != "sha256"} == note_before
    assert new.pop("quarantine.jsonl").replace(here, b"") == old.pop("quarantine.jsonl")
    changed = {library for library, number in golden.expected["versions"].items() if version(library) != number}
    if new == old:
        return
    # Arrow names its version in a file, zarr-python decides what its metadata hold, and Blosc how it compresses: with
    # other versions of them the files may differ, but not what they hold.
    blosc = "blosc" in name and "numcodecs" in changed
    for path in {path for path in old if new[path] != old[path]}:
        if path.endswith(".parquet"):
            assert changed & {"pyarrow", "numcodecs"}, path
        elif path.endswith("zarr.json") or "/labels/" in path or "/key/" in path:
            assert changed & {"zarr", "numcodecs"}, path
        else:
            assert blosc or path == "manifest.json", path
    assert reading.index_rows(tmp_path / "store") == reading.index_rows(golden.folder / name)
    for folder in (tmp_path / "store", golden.folder / name):
        records = reading.records(folder)
        selection = golden.expected["selections"][golden.expected["stores"][name]["selection"]]
        assert {key: reading.sha256(values.astype("<u2").tobytes()) for key, values in records.items()} == {
            key: facts["sha256"] for key, facts in selection["patches"].items()
        }
    assert pq.read_table(tmp_path / "store/histograms.parquet") == pq.read_table(
        golden.folder / name / "histograms.parquet"
    )
    manifests = [json.loads(files["manifest.json"]) for files in (new, old)]
    for manifest in manifests:
        del manifest["sha256"]
        for described in (manifest, *manifest["shards"]):
            described["files"] = [file["path"] for file in described["files"]]
    assert manifests[0] == manifests[1]


def test_checkpoints_are_read(golden: Golden, one_thread: None) -> None:
    """Weights are read as others, or the network computes other things with them."""
    expected = golden.expected["run"]
    checkpoints = golden.folder / "finished/checkpoints"
    best, last = (Checkpoint.read(checkpoints / f"{name}.pt") for name in ("best", "last"))
    assert best.ema is not None
    assert reading.tensors(best.ema) == expected["tensors"]["best"]
    assert reading.tensors(last.state) == expected["tensors"]["last"]
    assert (best.epoch, best.thresholds) == (expected["best_epoch"], expected["thresholds"])
    with shards.open(golden.folder / DATA, num_threads=1) as store:
        statistics = {name: facts.to_json() for name, facts in store.manifest.splits["train"].statistics.items()}
        rows = store.index.rows("test")
        records = np.stack([store.read(int(row)).s2 for row in rows])
        keys = [store.index.key(int(row)) for row in rows]
    # The same network with its weights from the checkpoint, and with weights taken up from it for the same bands.
    for model in (best.create_model(checkpoints / "best.pt"), create(best.model, weights=checkpoints / "best.pt")):
        found = reading.logits(model, statistics, records)
        assert found == pytest.approx(np.array([expected["logits"][key] for key in keys]), abs=1e-4)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_run_is_evaluated_as_it_was(golden: Golden, split: str, one_thread: None) -> None:
    """A checkpoint gets other scores than it got."""
    run = golden.folder / "finished"
    found, path = evaluate_run(
        EvaluationConfig(run=run, split=split, shards=golden.folder / DATA, threads=1, device="cpu")
    )
    expected = golden.expected["run"][split]
    result = found.to_json()
    assert {name: result[name] for name in expected} == {
        name: value if isinstance(value, str) else pytest.approx(value, rel=1e-4) for name, value in expected.items()
    }
    # The store has moved, and its patches are still those that the run had.
    assert path == run / f"metrics-{split}.json"


def test_a_stopped_run_is_resumed(golden: Golden, one_thread: None, tmp_path: Path) -> None:
    """A run that was stopped before an update does not end as it would have."""
    shutil.copytree(golden.folder / "stopped", tmp_path / "run")
    result = resume(tmp_path / "run", shards=golden.folder / DATA, device="cpu", threads=1, max_minutes=None)
    expected = golden.expected["run"]
    assert (result.stopped_by, result.best_epoch) == (None, expected["best_epoch"])
    found, same = (folder / "checkpoints/last.pt" for folder in (tmp_path / "run", golden.folder / "finished"))
    states = [Checkpoint.read(path).state for path in (found, same)]
    for name, values in states[1].items():
        # Other versions of torch and other processors round in other ways.
        assert torch.allclose(states[0][name], values, rtol=1e-3, atol=1e-3), name
    assert result.test is not None
    assert result.test.loss == pytest.approx(expected["test"]["loss"], rel=1e-3)
    reports = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [(report["epoch"], report["step"]) for report in reports] == [(1, 4), (2, 8), (3, 12)]
