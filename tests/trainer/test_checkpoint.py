"""Checkpoints."""

from pathlib import Path

import pytest
import torch

from shards import BANDS, CLASSES, Store
from tests.trainer.conftest import Run
from trainer.checkpoint import Checkpoint
from trainer.errors import BadCheckpoint
from trainer.evaluate import evaluate
from trainer.loader import Loader, LoaderConfig


def test_a_checkpoint_gives_the_metrics_it_was_saved_with(run: Run, store: Store) -> None:
    """A checkpoint holds other weights or statistics than those that were measured."""
    checkpoint = Checkpoint.read(run.config.out / "checkpoint.pt")
    assert checkpoint.epoch == run.result.best_epoch
    assert checkpoint.metrics == run.result.validation.to_json()
    # The size of the batches is part of how a sum in bfloat16 is rounded.
    config = LoaderConfig(batch_size=run.config.batch_size, device=torch.device("cpu"), training=False)
    with Loader(store, store.index.rows("validation"), checkpoint.normalisation, config) as loader:
        assert evaluate(checkpoint.create_model(), loader) == run.result.validation


def test_a_checkpoint_says_what_it_was_trained_on(run: Run) -> None:
    """Weights are used on bands or classes in another order without a word."""
    checkpoint = Checkpoint.read(run.config.out / "checkpoint.pt")
    assert (checkpoint.bands, checkpoint.classes) == (BANDS, CLASSES)
    assert checkpoint.config == run.config.to_json()
    assert len(checkpoint.manifest_sha256) == 64


def rewrite(source: Path, target: Path, **changes: object) -> Path:
    """Write a checkpoint with some of its values changed."""
    torch.save(torch.load(source, weights_only=True) | changes, target)
    return target


@pytest.mark.parametrize("what", ["bands", "classes"])
def test_other_bands_or_classes_are_refused(run: Run, tmp_path: Path, what: str) -> None:
    """A checkpoint of another class order gives wrong names to right numbers."""
    source = run.config.out / "checkpoint.pt"
    order = tuple(reversed(BANDS if what == "bands" else CLASSES))
    with pytest.raises(BadCheckpoint, match=f"has the {what}"):
        Checkpoint.read(rewrite(source, tmp_path / "other.pt", **{what: order}))


@pytest.mark.parametrize("damage", ["cut", "text", "empty"])
def test_damaged_files_are_refused(run: Run, tmp_path: Path, damage: str) -> None:
    """A damaged checkpoint ends in an error that does not name it."""
    path = tmp_path / "checkpoint.pt"
    data = (run.config.out / "checkpoint.pt").read_bytes()
    path.write_bytes({"cut": data[: len(data) // 2], "text": b"no checkpoint", "empty": b""}[damage])
    with pytest.raises(BadCheckpoint, match=f"{path} is not a checkpoint"):
        Checkpoint.read(path)
