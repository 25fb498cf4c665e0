"""Benchmarks: their figures are of what they say."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trainer.bench.passes import Rate, take_turns

ROOT = Path(__file__).parents[3]


def call(*arguments: object) -> dict[str, object]:
    """Run `bep bench … --json` and return what it prints."""
    command = [sys.executable, "-m", "bigearth_pipeline", "bench", *map(str, arguments), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_passes_take_turns() -> None:
    """One side is measured while the machine is busy, the other while it is not; or warm-up counts."""
    log: list[tuple[str, int]] = []

    def run(name: str, seconds: float, number: int) -> int:
        log.append((name, number))
        time.sleep(seconds)
        return 10

    passes = {"slow": lambda n: run("slow", 0.02, n), "fast": lambda n: run("fast", 0.01, n)}
    rates = take_turns(passes, repeats=4, warm_up=2)
    assert [sorted(name for name, number in log if number == i) for i in range(6)] == [["fast", "slow"]] * 6
    assert all(len(rate.patches_per_second) == 4 for rate in rates.values())
    assert rates["slow"].highest <= 500
    assert rates["fast"].share_of(rates["slow"]) > 1


def test_shares_are_taken_pass_by_pass() -> None:
    """A share is distorted by the machine getting slower in between."""
    assert Rate((10.0, 1.0, 5.0)).share_of(Rate((20.0, 2.0, 10.0))) == 0.5


def test_the_loader_is_measured(folder: Path) -> None:
    """`bep bench loader` fails, or leaves out a stage."""
    found = call("loader", folder, "--batch-size", 32, "--repeats", 2)[str(folder)]
    assert isinstance(found, dict)
    assert set(found["rates"]) == {"read", "decode", "read_into", "record", "stacked", "native"}
    assert all(len(rate["patches_per_second"]) == 2 for rate in found["rates"].values())
    assert found["config"]["patches"] == 96
    assert 0 < found["share_of_bound"] < 2


@pytest.mark.parametrize("options", [[], ["--model", "test_resnet", "--cache", "ram", "--loader", "torch"]])
def test_training_is_measured(folder: Path, options: list[str]) -> None:
    """`bep bench train` fails, or its shares do not add up."""
    found = call("train", folder, "--batch-size", 32, "--repeats", 1, "--steps", 2, *options)
    assert set(found["rates"]) == {"resident", "fed", "loader"}
    assert found["config"]["steps"] == 2
    assert 0 <= found["wait_share"] <= 1
    assert 0 <= found["other_share"] <= 1
    assert found["memory_bytes"] is None
