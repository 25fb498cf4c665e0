"""A small store and one finished training run, which most tests of the trainer share."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

import shards
from shards import Store
from shards.testing.stores import make_store
from trainer.config.options import TrainConfig
from trainer.runs.state import Result
from trainer.training.start import train

# Networks here are tiny: threads that wait for each other would take most of the time.
torch.set_num_threads(1)


class Run(NamedTuple):
    """A finished run: its configuration and its result."""

    config: TrainConfig
    result: Result


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 96, 40 and 20 patches in two, one and one shards."""
    return make_store(tmp_path_factory.mktemp("trainer") / "store", {"train": 96, "validation": 40, "test": 20})


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 24, 8 and 5 patches, for runs that need not learn."""
    return make_store(tmp_path_factory.mktemp("trainer") / "tiny", {"train": 24, "validation": 8, "test": 5})


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    """The first store, open."""
    with shards.open(folder) as opened:
        yield opened


@pytest.fixture(scope="session")
def run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of four epochs on the first store, evaluated on its test split."""
    out = tmp_path_factory.mktemp("runs") / "run"
    config = TrainConfig.of(shards=folder, out=out, epochs=4, batch_size=8, verify="always", test=True)
    return Run(config, train(config))


@pytest.fixture
def no_new_threads() -> Iterator[None]:
    """Fail if the test leaves a thread of a loader."""
    yield
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith(("loader", "decode"))]
    assert not left, f"threads left: {left}"
