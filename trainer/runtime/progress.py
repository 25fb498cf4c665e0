"""Reports and timings of a run while it trains. The application shows them to people."""

import time
from dataclasses import dataclass
from typing import Any, Final, Protocol

from trainer.data.loader import Loader
from trainer.metrics.metrics import Metrics

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
    """Progress of a phase.

    Attributes:
        phase: which one.
        step: steps done, from 1.
        num_steps: steps in all.
        loss: mean training loss since the epoch began; None outside of the train split.
        patches_per_second: since the phase began.
        wait_share: share of the time since then in which the loop waited for the loader, 0 to 1.
        lr: learning rate; None outside of the train split.
    """

    phase: Phase
    step: int
    num_steps: int
    loss: float | None
    patches_per_second: float
    wait_share: float
    lr: float | None = None


@dataclass(frozen=True, slots=True)
class WindowReport:
    """Training since the last logged step.

    Attributes:
        step: steps since the run began.
        loss: mean training loss of the patches since the last logged step.
        lr: learning rate of the step.
        gradient_norm: norm of its gradients, before they were clipped; None if it was not computed.
        patches_per_second: since the epoch began or was resumed.
        wait_share: share of that time in which the loop waited for the loader, 0 to 1.
        memory_bytes: most memory of the GPU that tensors have taken up at a time so far; None on a CPU.
    """

    step: int
    loss: float
    lr: float
    gradient_norm: float | None
    patches_per_second: float
    wait_share: float
    memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class EpochReport:
    """Result of an epoch.

    Attributes:
        phase: the training phase.
        step: steps done since the run began.
        train_loss: mean training loss of its patches.
        validation: metrics of the validation split after it; None for a run without validation.
        speed: the last report of the training steps, with the throughput since the epoch began or was resumed; None if
            it was resumed at its end.
        is_best: its monitored score is above that of every epoch before; it is the best checkpoint now.
        lr: learning rate of its last step.
        seconds: wall-clock time of training and validation since the run began, over all its starts.
    """

    phase: Phase
    step: int
    train_loss: float
    validation: Metrics | None
    speed: StepReport | None
    is_best: bool
    lr: float
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values: a line of `metrics.jsonl`."""
        return {
            "epoch": self.phase.epoch,
            "step": self.step,
            "train_loss": self.train_loss,
            "lr": self.lr,
            "seconds": round(self.seconds, 1),
            "patches_per_second": self.speed and round(self.speed.patches_per_second, 1),
            "wait_share": self.speed and round(self.speed.wait_share, 4),
            "is_best": self.is_best,
            "validation": self.validation and self.validation.to_json(),
        }


class Progress(Protocol):
    """Receives the progress of training and evaluation."""

    def step(self, report: StepReport) -> None:
        """Take the report of a step; comes about once every `REPORT_SECONDS` and at the end of a phase."""

    def epoch(self, report: EpochReport) -> None:
        """Take the report of an epoch."""

    def say(self, text: str) -> None:
        """Take a line about what was chosen, and why."""


class Silent:
    """Reports to nobody."""

    def step(self, report: StepReport) -> None:
        """Do nothing."""

    def epoch(self, report: EpochReport) -> None:
        """Do nothing."""

    def say(self, text: str) -> None:
        """Do nothing."""


class Tee:
    """Reports to several."""

    def __init__(self, *listeners: Progress) -> None:
        self._listeners = listeners

    def step(self, report: StepReport) -> None:
        """Tell all."""
        for listener in self._listeners:
            listener.step(report)

    def epoch(self, report: EpochReport) -> None:
        """Tell all."""
        for listener in self._listeners:
            listener.epoch(report)

    def say(self, text: str) -> None:
        """Tell all."""
        for listener in self._listeners:
            listener.say(text)


class Stopwatch:
    """Times one phase.

    Attributes:
        step: steps done.
    """

    def __init__(self, phase: Phase, loader: Loader, progress: Progress, first_step: int = 0) -> None:
        """Start to count.

        Args:
            phase: what is timed.
            loader: where its batches come from.
            progress: receives the reports.
            first_step: steps that were done before, in a run that was resumed.
        """
        self.step = first_step
        self._phase, self._loader, self._progress = phase, loader, progress
        self._num_patches = 0
        self._start = self._last_report = time.perf_counter()
        self._wait_before = loader.wait_seconds

    def count(self) -> bool:
        """Count a step, and return whether a report is due."""
        self._num_patches += self._loader.order.batch_count(self.step)
        self.step += 1
        return self.step == len(self._loader) or time.perf_counter() - self._last_report >= REPORT_SECONDS

    def report(self, loss: float | None = None, lr: float | None = None) -> StepReport:
        """Report the steps so far. Call it when the device has done them: it looks at the clock."""
        self._last_report = time.perf_counter()
        report = StepReport(self._phase, self.step, len(self._loader), loss, *self.rates(), lr)
        self._progress.step(report)
        return report

    def rates(self) -> tuple[float, float]:
        """Return patches per second and the share of the time in which the loop waited for the loader, 0 to 1."""
        seconds = time.perf_counter() - self._start
        return self._num_patches / seconds, (self._loader.wait_seconds - self._wait_before) / seconds
