"""Lines, weights and messages of runs, to be compared."""

import json
from pathlib import Path
from typing import Any

import torch

from trainer.runs.checkpoint import Checkpoint
from trainer.runtime.progress import Silent


def lines(out: Path) -> list[dict[str, Any]]:
    """Return the lines of a run's metrics."""
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def weights(out: Path, name: str = "last") -> dict[str, torch.Tensor]:
    """Return the weights of a run's checkpoint."""
    return Checkpoint.read(out / f"checkpoints/{name}.pt").state


def assert_same_weights(out: Path, other: Path) -> None:
    """Compare the last and the best weights of two runs bit by bit."""
    for name in ("last", "best"):
        first, second = weights(out, name), weights(other, name)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first), name


class Notes(Silent):
    """Progress that keeps the lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        """Keep a line."""
        self.lines.append(text)


def without_times(line: dict[str, Any]) -> dict[str, Any]:
    """Return a line of a run's metrics without what depends on the machine's mood."""
    return {name: value for name, value in line.items() if name not in ("patches_per_second", "wait_share", "seconds")}
