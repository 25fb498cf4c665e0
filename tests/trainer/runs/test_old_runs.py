"""Runs of earlier versions: read, evaluated and resumed."""

import json
import tarfile
from pathlib import Path

import pytest

from tests.support.paths import GOLDEN
from trainer.config import stored
from trainer.config.plain import to_plain
from trainer.evaluation.run import EvaluationConfig, evaluate_run
from trainer.runs import checksum
from trainer.runs import folder as run_folder
from trainer.runs.checkpoint import Checkpoint
from trainer.training.start import resume


@pytest.fixture(params=sorted(path.name for path in GOLDEN.glob("*")) or ["absent"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The folder of a run that an earlier version made, beside the store that it was made of."""
    folder = GOLDEN / request.param
    if not (folder / "run.tar.xz").exists():
        pytest.skip("no runs of earlier versions are here")
    for name in ("run", "webdataset-blosc-lz4"):
        with tarfile.open(folder / f"{name}.tar.xz") as archive:
            archive.extractall(tmp_path, filter="data")
    return tmp_path


def test_an_old_run_is_read(old: Path) -> None:
    """The options of an old run cannot be read any more."""
    options = json.loads((old / "run/config.json").read_text())["options"]
    config = stored.read(old / "run")
    found = {key.partition(".")[2]: to_plain(value) for key, value in config.values().items()}
    assert found["shards"] == options.pop("data")
    options.pop("verify")
    augmentation = options.pop("augmentation")
    assert {name: found[name] for name in options} == options
    assert {name: found[name] for name in augmentation} == augmentation
    for name in ("last", "best"):
        path = old / f"run/checkpoints/{name}.pt"
        assert Checkpoint.read(path).create_model(path)


def test_an_old_run_is_evaluated_as_it_was(old: Path) -> None:
    """The weights of a run give other results than they did."""
    best = Checkpoint.read(old / "run" / run_folder.BEST)
    assert best.metrics is not None
    evaluate_run(EvaluationConfig(run=old / "run", split="validation", shards=old / "webdataset-blosc-lz4", threads=1))
    (path,) = (old / "run").glob("metrics-validation*.json")
    found = json.loads(path.read_text())
    assert found["ap_macro"] == pytest.approx(best.metrics["ap_macro"])
    assert found["loss"] == pytest.approx(best.metrics["loss"], rel=1e-5)


def test_an_old_run_is_resumed(old: Path) -> None:
    """A run that was begun before an update is lost."""
    data, run = old / "webdataset-blosc-lz4", old / "run"
    assert resume(run, shards=data).best_epoch
    # As after a kill in the second epoch, before its only step.
    values = checksum.read(run / run_folder.LAST)
    values["progress"].pop("chosen", None)
    values["progress"]["state"] |= {"epoch": 1, "step": 0, "ended": False, "best_epoch": 1}
    values["progress"]["state"]["loss"] = {"total": 0.0, "num_patches": 0}
    checksum.write(run / run_folder.LAST, values)
    result = resume(run, shards=data)
    assert result.stopped_by is None
    assert [json.loads(line)["step"] for line in (run / run_folder.METRICS).read_text().splitlines()] == [1, 2]
