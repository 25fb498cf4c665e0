"""A run that is killed in the middle of an epoch and resumed, beside one that is not."""

import json
import time
from pathlib import Path
from typing import Any, Final

import torch

from tools.gpu.check.command import BEP, Deadline, call, last_line, started
from tools.gpu.check.execute import StepFailed
from tools.gpu.check.plan import Size
from trainer.errors import TrainError
from trainer.runs.checkpoint import Checkpoint
from trainer.runs.folder import LAST, METRICS

EPOCHS: Final = 3
CLOSE: Final = 0.02
"""Largest relative difference of losses that the order of additions on a GPU may explain after so few steps."""
_PAUSE: Final = 0.01  # seconds


def check_resume(size: Size, store: Path, work: Path, log: Path, deadline: Deadline) -> dict[str, Any]:
    """Train twice, once with a SIGKILL in the second or third epoch, and compare.

    Args:
        size: network, batch size, device.
        store: folder of the shards.
        work: folder for the two runs.
        log: file for what the runs say.
        deadline: of all of it.

    Returns:
        Where the run was killed, the losses of both runs' epochs, their largest relative difference in the epochs
        before the kill, which is what the device itself scatters, and behind it, and whether the last weights are
        bit-equal.

    Raises:
        StepFailed: the losses differ by more than `CLOSE`, on a CPU also if the weights do at all, or a run fails.
    """
    whole, killed = work / "run-whole", work / "run-killed"
    options = ["--model", size.resumed, "--batch-size", size.resumed_batch, "--epochs", EPOCHS, "--device", size.device]
    options += ["--precision", size.precision, "--set", f"run.save_steps={size.save_steps}"]
    call((*BEP, "train", store, "--out", whole, *options, "--json"), log, deadline)
    epoch, step = _kill(("train", store, "--out", killed, *options, "--json"), killed / LAST, log, deadline)
    call((*BEP, "train", "--resume", killed, "--json"), log, deadline)
    losses = {name: _losses(folder) for name, folder in (("whole", whole), ("resumed", killed))}
    if not len(losses["whole"]) == len(losses["resumed"]) == EPOCHS:
        raise StepFailed(
            f"metrics.jsonl holds {list(map(len, losses.values()))} epochs, expected {EPOCHS} each", losses
        )
    apart = [abs(a - b) / abs(a) for a, b in zip(losses["whole"], losses["resumed"], strict=True)]
    ends = [Checkpoint.read(folder / LAST).state for folder in (whole, killed)]
    found = {
        "killed_in_epoch": epoch + 1,
        "killed_after_step": step,
        "losses": losses,
        "difference_before": max(apart[:epoch]),
        "difference_behind": max(apart[epoch:]),
        "bit_equal": all(torch.equal(values, ends[1][name]) for name, values in ends[0].items()),
    }
    if max(apart) > CLOSE:
        raise StepFailed(f"the losses differ by {max(apart):.1%}, expected at most {CLOSE:.0%}", found)
    if size.device == "cpu" and not found["bit_equal"]:
        raise StepFailed("the last weights differ, expected the same bits on a CPU", found)
    return found


def _kill(command: tuple[Any, ...], last: Path, log: Path, deadline: Deadline) -> tuple[int, int]:
    """Start a run and kill it when it has saved its state in the middle of an epoch, the second or a later one.

    Returns:
        Epochs and steps of the one under way that the saved state has.
    """
    seen = 0
    with started((*BEP, *command), log) as process:
        while True:
            deadline.check()
            if process.poll() is not None:
                raise StepFailed(f"the run ended (status {process.returncode}) before it was killed: {last_line(log)}")
            time.sleep(_PAUSE)
            # A state is written whole, under another name: the time of its writing tells whether it is new.
            if not last.exists() or last.stat().st_mtime_ns == seen:
                continue
            seen = last.stat().st_mtime_ns
            state = _progress(last)
            if state[0] > 0 and state[1] > 0:
                break
    epoch, step = _progress(last)
    if step == 0:
        raise StepFailed(f"the run was killed between epochs {epoch} and {epoch + 1}, expected within one")
    return epoch, step


def _progress(last: Path) -> tuple[int, int]:
    try:
        checkpoint = Checkpoint.read(last)
    except TrainError as err:
        raise StepFailed(str(err)) from err
    return checkpoint.epoch, checkpoint.step


def _losses(folder: Path) -> list[float]:
    return [json.loads(line)["train_loss"] for line in (folder / METRICS).read_text().splitlines()]
