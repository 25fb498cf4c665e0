"""A finished run, and a copy of its folder to be changed."""

import shutil
from pathlib import Path

import pytest

from tests.trainer.runs.changes import QUICK
from trainer.config.options import TrainConfig
from trainer.training.start import train


@pytest.fixture(scope="session")
def small(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    """A finished run of two epochs of three steps."""
    config = TrainConfig.of(shards=tiny, out=tmp_path_factory.mktemp("small") / "run", epochs=2, **QUICK)
    train(config)
    return config


@pytest.fixture
def folder_of_run(small: TrainConfig, tmp_path: Path) -> Path:
    """A copy of its folder."""
    return shutil.copytree(small.run.out, tmp_path / "run")
