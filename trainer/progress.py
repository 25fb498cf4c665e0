"""What a run tells while it goes on, and how it times itself. `trainer.display` shows it to people."""

import time
from dataclasses import dataclass
from typing import Final, Protocol

from trainer.loader import Loader
from trainer.metrics import Metrics

REPORT_SECONDS: Final = 1.0
"""Time between two step reports. Each waits for the device once, so they go by time and not by steps."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A pass over a split.

    Attributes:
        split: its name.
        epoch: number of the epoch, from 1; 0 outside of training.
        num_epochs: epochs of the run; 0 outside of training.
    """

    split: str
    epoch: int = 0
    num_epochs: int = 0


@dataclass(frozen=True, slots=True)
class StepReport:
    """How far a phase has got.

    Attributes:
        phase: which one.
        step: steps done, from 1.
        num_steps: steps in all.
        loss: mean training loss since the epoch began; None outside of the train split.
        patches_per_second: since the phase began.
        wait_share: share of the time since then in which the loop waited for the loader, 0 to 1.
    """

    phase: Phase
    step: int
    num_steps: int
    loss: float | None
    patches_per_second: float
    wait_share: float


@dataclass(frozen=True, slots=True)
class EpochReport:
    """What an epoch has come to.

    Attributes:
        phase: the training phase.
        train_loss: mean training loss of its patches.
        validation: metrics of the validation split after it.
        patches_per_second: training throughput, without the validation.
        wait_share: share of the training time in which the loop waited for the loader, 0 to 1.
        is_best: its macro average precision is above that of every epoch before; it is the checkpoint now.
    """

    phase: Phase
    train_loss: float
    validation: Metrics
    patches_per_second: float
    wait_share: float
    is_best: bool


class Progress(Protocol):
    """Somebody who is told."""

    def step(self, report: StepReport) -> None:
        """Take the report of a step; comes about once every `REPORT_SECONDS` and at the end of a phase."""

    def epoch(self, report: EpochReport) -> None:
        """Take the report of an epoch."""


class Silent:
    """Nobody is told."""

    def step(self, report: StepReport) -> None:
        """Do nothing."""

    def epoch(self, report: EpochReport) -> None:
        """Do nothing."""


class Stopwatch:
    """Times one phase.

    Attributes:
        step: steps done.
    """

    def __init__(self, phase: Phase, loader: Loader, progress: Progress) -> None:
        self.step = 0
        self._phase, self._loader, self._progress = phase, loader, progress
        self._num_patches = 0
        self._start = self._last_report = time.perf_counter()
        self._wait_before = loader.wait_seconds

    def count(self, num_patches: int) -> bool:
        """Count a step, and return whether a report is due."""
        self.step += 1
        self._num_patches += num_patches
        return self.step == len(self._loader) or time.perf_counter() - self._last_report >= REPORT_SECONDS

    def report(self, loss: float | None = None) -> StepReport:
        """Report the steps so far. Call it when the device has done them: it looks at the clock."""
        now = time.perf_counter()
        self._last_report = now
        seconds = now - self._start
        waited = self._loader.wait_seconds - self._wait_before
        report = StepReport(
            self._phase, self.step, len(self._loader), loss, self._num_patches / seconds, waited / seconds
        )
        self._progress.step(report)
        return report
