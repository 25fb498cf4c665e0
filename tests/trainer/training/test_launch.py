"""Runs whose processes a launcher starts again by the same command."""

from pathlib import Path

import pytest

from trainer.config.options import TrainConfig
from trainer.errors import RunExists
from trainer.training.start import train


def _launch(monkeypatch: pytest.MonkeyPatch, run_id: str, restarts: int) -> None:
    """Set the variables of `torchrun`."""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", run_id)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", str(restarts))


def _config(store: Path, out: Path, lr: float = 0.01) -> TrainConfig:
    return TrainConfig.of(shards=store, out=out, epochs=1, batch_size=8, lr=lr, max_steps=2, device="cpu", threads=1)


@pytest.mark.parametrize(
    ("begun_by", "run_id", "restarts", "lr", "resumes"),
    [
        ("a", "a", 1, 0.01, True),
        ("a", "a", 0, 0.01, False),
        ("a", "b", 1, 0.01, False),
        ("a", "a", 1, 0.02, False),
        (None, "a", 1, 0.01, False),
    ],
    ids=["again", "at first", "another launch", "other options", "no launch"],
)
def test_only_the_run_of_a_launch_is_resumed(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    begun_by: str | None, run_id: str, restarts: int, lr: float, resumes: bool,
) -> None:  # fmt: skip
    """Started again, a run is refused; or the run of somebody else is resumed, which the first start refused."""
    if begun_by is not None:
        _launch(monkeypatch, begun_by, 0)
    first = train(_config(tiny, tmp_path / "run"))
    _launch(monkeypatch, run_id, restarts)
    if resumes:
        again = train(_config(tiny, tmp_path / "run", lr))
        assert again.best_epoch == first.best_epoch
    else:
        with pytest.raises(RunExists):
            train(_config(tiny, tmp_path / "run", lr))


@pytest.mark.long
def test_a_restart_without_a_state_begins(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that died before the run began never begin it."""
    _launch(monkeypatch, "a", 1)
    assert train(_config(tiny, tmp_path / "run")).best_epoch is not None
