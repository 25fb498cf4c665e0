"""Checkpoints on a disk that fails: the old one or the new one, whole."""

import os
from pathlib import Path

import pytest
import torch

from shards.testing.faults import Kind, each_fault, faulty_writes
from trainer.runs import checksum


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
