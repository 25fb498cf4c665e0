"""A run that fails before a step of it is saved leaves nothing."""

import shutil
from pathlib import Path

import pytest

from shards.errors import CorruptShard
from tests.support.data import faults
from tests.trainer.runs.changes import QUICK
from trainer.config.options import TrainConfig
from trainer.errors import TrainError
from trainer.runs import folder as run_folder
from trainer.training.start import train


def test_a_damaged_store_leaves_no_run(tiny: Path, tmp_path: Path) -> None:
    """Once the store is mended, the same command is refused, for the folder holds a run that never was."""
    store = faults.copy(tiny, tmp_path / "store")
    shard = next(store.glob("train-*.tar"))
    shard.write_bytes(bytes(len(shard.read_bytes())))
    config = TrainConfig.of(shards=store, out=tmp_path / "runs" / "run", verify="always", epochs=1, **QUICK)
    with pytest.raises(CorruptShard):
        train(config)
    assert not (tmp_path / "runs").exists()
    shutil.copy(tiny / shard.name, shard)
    assert train(config).stopped_by is None


def test_what_has_steps_stays(tiny: Path, tmp_path: Path) -> None:
    """A run that fails in its second step, after it has saved the first, is removed."""
    store = faults.copy(tiny, tmp_path / "store")
    shard = next(store.glob("validation-*.tar"))
    shard.write_bytes(bytes(len(shard.read_bytes())))
    config = TrainConfig.of(shards=store, out=tmp_path / "run", verify="always", save_steps=1, epochs=1, **QUICK)
    with pytest.raises(CorruptShard):
        train(config)
    assert run_folder.has_steps(tmp_path / "run")
    with pytest.raises(TrainError, match="holds a run; resume it with"):
        train(config)
