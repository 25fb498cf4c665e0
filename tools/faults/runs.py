"""Damage of training runs: kills, and flipped bits in checkpoints."""

import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import torch

from tools.faults.attempts import Attempts, flipped, outcome_of, some_bits
from tools.faults.builds import BEP
from trainer.runs.checkpoint import Checkpoint

_OPTIONS = ["--epochs", "2", "--batch-size", "16", "--set", "run.save_steps=1", "--device", "cpu"]


def _weights(run: Path) -> dict[str, torch.Tensor]:
    return Checkpoint.read(run / "checkpoints/last.pt").state


def _equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def kills(store: Path, work: Path, times: int, rng: np.random.Generator) -> Attempts:
    """Kill trainings at random moments, resume each to its end, and compare the weights bit for bit."""
    attempts = Attempts("`bep train` killed at a random moment, then resumed")
    started = time.monotonic()
    subprocess.run([*BEP, "train", str(store), "--out", str(work / "run"), *_OPTIONS], check=True, capture_output=True)
    seconds = time.monotonic() - started
    expected = _weights(work / "run")
    while attempts.times < times:
        run = work / "killed"
        command = [*BEP, "train", str(store), "--out", str(run), *_OPTIONS]
        for _ in range(min(3, times - attempts.times)):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(rng.uniform(0.4, 1) * seconds)
            process.kill()
            attempts.outcomes["resumed to equal weights" if process.wait() else "finished before the kill"] += 1
            if (run / "checkpoints/last.pt").exists():
                command = [*BEP, "train", "--resume", str(run)]
            elif run.exists():
                shutil.rmtree(run)
        done = subprocess.run(command, capture_output=True)
        if done.returncode or not _equal(_weights(run), expected):
            attempts.outcomes["WRONG"] += 1
        shutil.rmtree(run)
    return attempts


def checkpoints(run: Path, times: int, rng: np.random.Generator) -> Attempts:
    """Flip bits of a checkpoint, one at a time, and read it."""
    attempts = Attempts("a bit of a checkpoint flipped, checkpoint read")
    path = run / "checkpoints/last.pt"
    sound = _weights(run)
    for _ in flipped(path, some_bits(path, times, rng)):
        attempts.outcomes[
            outcome_of(lambda: _equal(_weights(run), sound), "refused, naming the file", "same weights")
        ] += 1
    return attempts
