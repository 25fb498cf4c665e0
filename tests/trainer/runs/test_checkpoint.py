"""Checkpoints."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from shards import CLASSES, Store
from tests.trainer.conftest import Run
from trainer.data.loader import Loader
from trainer.data.loader_config import LoaderConfig
from trainer.errors import BadCheckpoint
from trainer.evaluation.measure import measure, predict
from trainer.metrics.metrics import Metrics
from trainer.runs.checkpoint import Checkpoint


@pytest.fixture
def best(run: Run) -> Checkpoint:
    """The best checkpoint of a run."""
    return Checkpoint.read(run.config.run.out / "checkpoints/best.pt")


def test_a_checkpoint_gives_the_metrics_it_was_saved_with(run: Run, best: Checkpoint, store: Store) -> None:
    """A checkpoint holds other weights, statistics or thresholds than those that were measured."""
    assert best.epoch == run.result.best_epoch
    assert best.metrics is not None
    assert Metrics.from_json(best.metrics) == run.result.validation
    model = best.create_model(run.config.run.out / "checkpoints/best.pt")
    config = LoaderConfig(
        batch_size=run.config.optimisation.batch_size,
        device=torch.device("cpu"),
        order="sequential",
        layout=model.layout,
    )
    with Loader(store, store.index.rows("validation"), best.normalisation, config) as loader:
        metrics, _ = measure(*predict(model, loader), thresholds=best.thresholds, tuned_here=True)
    assert metrics == run.result.validation


def test_a_checkpoint_says_what_it_was_trained_on(run: Run, best: Checkpoint) -> None:
    """Weights are used on bands or classes in another order without a word."""
    assert (best.model.bands, best.classes, best.source_version) == (run.config.data.bands, CLASSES, "v2")
    assert best.config == run.config.to_json()
    assert len(best.manifest_sha256) == 64
    assert best.progress is None


def test_other_classes_are_refused(best: Checkpoint, tmp_path: Path) -> None:
    """A checkpoint of another class order gives wrong names to right numbers."""
    path = tmp_path / "other.pt"
    replace(best, classes=tuple(reversed(CLASSES))).write(path)
    with pytest.raises(BadCheckpoint, match="classes in another order: number 1 is 'Urban fabric', expected 'Agro"):
        Checkpoint.read(path)
    replace(best, classes=("Glacier", *CLASSES[1:])).write(path)
    with pytest.raises(BadCheckpoint, match="other classes: it lacks Agro-forestry areas and has Glacier"):
        Checkpoint.read(path)


def test_other_bands_are_refused(best: Checkpoint, tmp_path: Path) -> None:
    """A model sees bands in another order than it was trained on."""
    swapped = (best.model.bands[1], best.model.bands[0], *best.model.bands[2:])
    best.check_bands(tmp_path, best.model.bands)
    with pytest.raises(BadCheckpoint, match="bands in another order: number 1 is 'B02', expected 'B03'"):
        best.check_bands(tmp_path, swapped)
    with pytest.raises(BadCheckpoint, match="other bands: it has B02"):
        best.check_bands(tmp_path, best.model.bands[1:])


def test_the_other_version_is_refused(best: Checkpoint, store: Store, tmp_path: Path) -> None:
    """A model is tested on patches that it was trained on."""
    manifest = replace(store.manifest, source_version="v1")
    with pytest.raises(BadCheckpoint, match="trained on BigEarthNet v2, the shards are v1"):
        best.check_version(tmp_path, manifest, allow_mixed=False)
    best.check_version(tmp_path, manifest, allow_mixed=True)
    best.check_version(tmp_path, store.manifest, allow_mixed=False)


def test_another_version_of_the_file_is_refused(best: Checkpoint, tmp_path: Path) -> None:
    """A file of a later program is misread."""
    replace(best, format_version=2).write(tmp_path / "new.pt")
    with pytest.raises(BadCheckpoint, match="is of version 2; this program reads version 1"):
        Checkpoint.read(tmp_path / "new.pt")
