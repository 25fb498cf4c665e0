"""Training steps that are timed: on the host, and on a GPU between each other."""

import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.profiler import record_function

from trainer.data.batch import Batch
from trainer.training.step import Stepper

STEP = "training step"
"""Name of a step in a trace."""


class StepEvents:
    """CUDA events around steps, on the stream that the steps are on.

    Work on other streams, such as the loader's, is not looked at, and neither are gaps between the kernels of a step.
    """

    def __init__(self) -> None:
        self._marks: list[torch.cuda.Event] = []

    def mark(self) -> None:
        """Call it before and after each step."""
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        self._marks.append(event)

    def idle_and_total(self) -> tuple[float, float]:
        """Return the seconds from the ends of steps to the beginnings of the next, and from the first to the last mark.

        Waits for the device.
        """
        if not self._marks:
            return 0.0, 0.0
        self._marks[-1].synchronize()
        gaps = zip(self._marks[1:-1:2], self._marks[2::2], strict=True)
        idle = sum(end.elapsed_time(begin) for end, begin in gaps)
        return idle / 1000, self._marks[0].elapsed_time(self._marks[-1]) / 1000


class TimedStepper(Stepper):
    """A stepper that knows how long the training thread was in it.

    Attributes:
        seconds: so far. On a GPU this is the time that it took to ask for the work, not the work.
        events: where steps are marked, if anywhere.
        before_next: is called once, before the next step.
    """

    seconds = 0.0
    events: StepEvents | None = None
    before_next: Callable[[], None] | None = None

    def step(self, batch: Batch, num_patches: int, lr: float, *, measure: bool = False) -> Tensor:
        """Do a step."""
        if self.before_next is not None:
            self.before_next()
            self.before_next = None
        start = time.perf_counter()
        if self.events is not None:
            self.events.mark()
        with record_function(STEP):
            loss = super().step(batch, num_patches, lr, measure=measure)
        if self.events is not None:
            self.events.mark()
        self.seconds += time.perf_counter() - start
        return loss
