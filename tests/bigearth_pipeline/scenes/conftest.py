"""Runs of a few steps, and GDAL's environment, which tests of scenes share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bigearth_pipeline.scenes.gdal import gdal_environment
from shards.testing.stores import make_store
from tests.support.network.shelves import moto_shelf, s3
from trainer.config.options import TrainConfig
from trainer.training.start import train

__all__ = ["moto_shelf", "s3"]


@pytest.fixture(scope="session")
def small_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 16, 8 and 70 patches."""
    folder = tmp_path_factory.mktemp("predict") / "store"
    return make_store(folder, {"train": 16, "validation": 8, "test": 70})


def train_two_steps(store: Path, out: Path, **options: object) -> Path:
    """Train a network on the 16 patches of a store, and return the folder of the run."""
    train(TrainConfig.of(shards=store, out=out, epochs=1, batch_size=8, **options))
    return out


@pytest.fixture(scope="session")
def trained(small_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps that sees all bands."""
    return train_two_steps(small_store, tmp_path_factory.mktemp("predict") / "all")


@pytest.fixture(scope="session")
def trained_rgb(small_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps that sees red, green and blue."""
    return train_two_steps(small_store, tmp_path_factory.mktemp("predict") / "rgb", bands=("B04", "B03", "B02"), seed=1)


@pytest.fixture
def gdal() -> Iterator[None]:
    """GDAL's environment for scenes."""
    with gdal_environment():
        yield
