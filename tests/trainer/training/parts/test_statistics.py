"""Statistics of others that a run normalises by."""

import json
from pathlib import Path
from typing import Any

import pytest

from shards.metadata.published import published
from tests.trainer.training.comparing import assert_same_weights
from trainer.config.options import TrainConfig
from trainer.errors import TrainError
from trainer.runs.checkpoint import Checkpoint
from trainer.runtime.stop import Request
from trainer.training.start import resume, train

BANDS = ("B04", "B03", "B02")
FAST: dict[str, Any] = {"model": "test_resnet", "device": "cpu", "loader": "torch", "bands": BANDS}
FAST |= {"batch_size": 8, "epochs": 1}


def test_published_figures_normalise(tiny: Path, tmp_path: Path) -> None:
    """A run takes the figures of another version, or in another order of bands."""
    config = TrainConfig.of(shards=tiny, out=tmp_path / "run", statistics=Path("published"), **FAST)
    train(config)
    checkpoint = Checkpoint.read(config.run.out / "checkpoints/best.pt")
    figures = [published(checkpoint.source_version).bands[band] for band in BANDS]
    assert checkpoint.normalisation.bands == BANDS
    assert list(zip(checkpoint.normalisation.centre, checkpoint.normalisation.scale, strict=True)) == figures
    written = json.loads((config.run.out / "statistics.json").read_text())
    assert list(written.items()) == [
        (band, {"mean": mean, "std": std}) for band, (mean, std) in zip(BANDS, figures, strict=True)
    ]
    # And what one run has written is a file of another.
    other = config.replace(out=tmp_path / "other", statistics=config.run.out / "statistics.json")
    train(other)
    assert_same_weights(config.run.out, other.run.out)


def test_a_run_resumes_without_the_file(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run cannot be resumed once the file is gone, or continues with what the file says now."""
    file = tmp_path / "statistics.json"
    file.write_text(json.dumps({band: {"mean": 500, "std": 700} for band in BANDS}))
    whole = TrainConfig.of(shards=tiny, out=tmp_path / "whole", statistics=file, **FAST)
    train(whole)
    requests = iter([Request.TIME_UP])
    with monkeypatch.context() as patch:
        patch.setattr("trainer.runtime.stop.Stop.request", lambda self: next(requests))
        train(whole.replace(out=tmp_path / "stopped"))
    file.write_text(json.dumps({band: {"mean": 1, "std": 1} for band in BANDS}))
    resume(tmp_path / "stopped")
    assert_same_weights(whole.run.out, tmp_path / "stopped")
    (tmp_path / "stopped/statistics.json").write_text("{}")
    with pytest.raises(TrainError, match="was edited: it differs from the run's"):
        resume(tmp_path / "stopped")


def test_a_bad_file_leaves_no_run(tiny: Path, tmp_path: Path) -> None:
    """A run is made that cannot begin, or the band that lacks figures is not named."""
    file = tmp_path / "statistics.json"
    file.write_text(json.dumps({"B04": {"mean": 500, "std": 700}}))
    with pytest.raises(TrainError, match="expected a number as mean of B03, found nothing"):
        train(TrainConfig.of(shards=tiny, out=tmp_path / "run", statistics=file, **FAST))
    assert not (tmp_path / "run").exists()
