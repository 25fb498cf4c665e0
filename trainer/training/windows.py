"""The steps that are logged: every N since the run began, so that the curves of two runs line up."""

import torch

from trainer.definition.run import LOG_STEPS
from trainer.runs.loggers.base import Logging
from trainer.runs.tensorboard import Board
from trainer.runtime.progress import Stopwatch, WindowReport
from trainer.training.running_loss import RunningLoss, Seen


class Windows:
    """Reports the training since the last logged step.

    Attributes:
        boards: where to; empty for a run that logs nothing, such as a benchmark.
    """

    def __init__(self, log_steps: int | None, steps_per_epoch: int, device: torch.device) -> None:
        """Prepare.

        Args:
            log_steps: steps between two that are logged; None for 50, or an epoch if that is shorter.
            steps_per_epoch: of the run.
            device: that it trains on.
        """
        self.boards: tuple[Board | Logging, ...] = ()
        self._steps = log_steps or min(LOG_STEPS, steps_per_epoch)
        self._device = device

    def is_logged(self, steps: int) -> bool:
        """Return True if a step is logged, by its number from 1 since the run began."""
        return bool(self.boards) and steps % self._steps == 0

    def log(self, steps: int, loss: RunningLoss, seen: Seen, lr: float, stopwatch: Stopwatch, *, norm: bool) -> None:
        """Log a step, and begin a new window.

        Args:
            steps: since the run began.
            loss: whose window begins anew.
            seen: what it was like.
            lr: learning rate of the step.
            stopwatch: of the epoch.
            norm: whether the norm of the gradients was computed.
        """
        memory = torch.cuda.max_memory_allocated(self._device) if self._device.type == "cuda" else None
        report = WindowReport(steps, seen.window, lr, seen.norm if norm else None, *stopwatch.rates(), memory)
        for board in self.boards:
            board.window(report)
        loss.begin_window()
