"""Checkpoints on a disk that fails: the old one or the new one, whole."""

import os
from pathlib import Path

import pytest
import torch

from shards.testing.failing_calls import failing_calls
from shards.testing.faults import Kind, each_fault, faulty_writes
from trainer.errors import BadCheckpoint, TrainError
from trainer.runs import checksum
from trainer.runs import folder as run_folder


@pytest.mark.parametrize("kind", ["io", "full", "torn", "lost", "late", "memory"])
def test_a_checkpoint_that_fails_to_be_written(tmp_path: Path, kind: Kind) -> None:
    """A full disk takes the last checkpoint of a run, or leaves half of a new one in its place."""
    path = tmp_path / "last.pt"
    old, new = ({"epoch": epoch, "weights": torch.full((100,), float(epoch))} for epoch in (1, 2))
    for faults in each_fault(kind):
        checksum.write(path, old)
        try:
            with faulty_writes(faults):
                checksum.write(path, new)
        except (OSError, MemoryError):
            assert faults.fired is not None
        else:
            assert faults.fired is None
        found = checksum.read(path)
        expected = new if faults.fired is None or kind == "late" else old
        assert found["epoch"] == expected["epoch"]
        assert torch.equal(found["weights"], expected["weights"])
        assert os.listdir(tmp_path) == ["last.pt"]


@pytest.mark.parametrize("kind", ["io", "full", "torn", "lost", "late", "memory", "short"])
def test_every_call_for_a_checkpoint_and_results_fails_once(tmp_path: Path, kind: Kind) -> None:
    """A failed call leaves half of a file, or an error that does not say which file it was."""
    path, results = tmp_path / "last.pt", tmp_path / "metrics-test.json"
    old, new = ({"epoch": epoch, "weights": torch.full((10,), float(epoch))} for epoch in (1, 2))
    checksum.write(path, old)
    run_folder.write_json(results, {"epoch": 1})
    for faults in each_fault(kind):
        try:
            with failing_calls(tmp_path, faults), run_folder.written(tmp_path, path):
                checksum.write(path, new)
                assert checksum.read(path)["epoch"] == 2
                run_folder.write_json(results, {"epoch": 2})
                assert run_folder.read_json(results) == {"epoch": 2}
        except (TrainError, BadCheckpoint, MemoryError) as err:
            assert faults.fired is not None, err  # noqa: PT017
            assert isinstance(err, MemoryError) or str(tmp_path) in str(err)  # noqa: PT017
        assert checksum.read(path)["epoch"] in (1, 2)
        assert run_folder.read_json(results)["epoch"] in (1, 2)
        assert sorted(os.listdir(tmp_path)) == ["last.pt", "metrics-test.json"]
