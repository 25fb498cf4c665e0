"""Runs that visit patches with rare classes more often."""

import json
from pathlib import Path
from typing import Any

import pytest

from shards.errors import InvalidValue
from tests.trainer.training.comparing import Notes, assert_same_weights, lines, without_times
from trainer.config.options import TrainConfig
from trainer.runtime.stop import Request
from trainer.training.start import resume, train

FAST: dict[str, Any] = {"model": "test_resnet", "device": "cpu", "loader": "torch", "batch_size": 8, "epochs": 2}


@pytest.mark.long
@pytest.mark.parametrize("order", ["global", "block"])
def test_it_resumes_within_an_epoch(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str) -> None:
    """A run that was stopped draws other repeats when it resumes, or epochs differ in length."""
    config = TrainConfig.of(shards=tiny, out=tmp_path / "whole", repeat_threshold=0.9, order=order, **FAST)
    notes = Notes()
    train(config, notes)
    (said,) = (line for line in notes.lines if line.startswith("repeats: "))
    visits = int(said.split()[1])
    assert visits > 24
    steps = -(-visits // 8)
    assert [line["step"] for line in lines(tmp_path / "whole")] == [steps, 2 * steps]
    described = json.loads((tmp_path / "whole/description.json").read_text())
    assert described["patches"]["train"] == 24
    requests = [Request.NONE] * (steps + 1) + [Request.TIME_UP]
    with monkeypatch.context() as patch:
        patch.setattr("trainer.runtime.stop.Stop.request", lambda self: requests.pop(0))
        train(config.replace(out=tmp_path / "run"))
    resume(tmp_path / "run")
    assert_same_weights(tmp_path / "run", tmp_path / "whole")
    assert list(map(without_times, lines(tmp_path / "run"))) == list(map(without_times, lines(tmp_path / "whole")))


def test_a_threshold_that_repeats_nothing_is_refused(tiny: Path, tmp_path: Path) -> None:
    """An option without effect passes in silence."""
    config = TrainConfig.of(shards=tiny, out=tmp_path / "run", repeat_threshold=0.01, **FAST)
    with pytest.raises(InvalidValue, match=r"`repeat_threshold=0.01` has no effect: the rarest class, .*, is in .*%"):
        train(config)
    assert not (tmp_path / "run").exists()
