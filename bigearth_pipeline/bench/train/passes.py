"""The passes of `bep bench train`, and what the training thread does in the one that is fed."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from bigearth_pipeline.bench.loader.passes import finish, whole
from bigearth_pipeline.bench.passes import Lap, Pass
from bigearth_pipeline.bench.train.result import FED, LOADER, RESIDENT
from bigearth_pipeline.bench.train.timed_stepper import StepEvents, TimedStepper
from trainer.data.batch import Batch
from trainer.training.loop import Run


@dataclass
class Spent:
    """Breakdown of the time of the timed laps of fed steps, in seconds.

    Attributes:
        total: from the first batch of each lap to the end of its last step on the device.
        waited: of these, those in which the training thread waited for the loader.
        stepped: those in which it was in a step.
        processor: processor time of all threads.
        idle: those in which a GPU had no step to work on, by CUDA events.
        marked: those from the first to the last of these events.
    """

    total: float = 0.0
    waited: float = 0.0
    stepped: float = 0.0
    processor: float = 0.0
    idle: float = 0.0
    marked: float = 0.0


class StepPasses:
    """Laps of the same number of steps: on one batch, fed from shards, and the loader without steps.

    The lap of fed steps begins when the first batch is there: a lap is one epoch, and the loader starts once in each.

    Attributes:
        spent: by the timed laps of fed steps.
        passes: by name.
    """

    def __init__(
        self,
        run: Run,
        stepper: TimedStepper,
        *,
        batch_size: int,
        lr: float,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Load the batch that stays on the device.

        Args:
            run: of which fed steps are.
            stepper: of the run.
            batch_size: patches of a step; the run's loader has whole batches only.
            lr: learning rate of the steps on one batch.
            clock: seconds.
        """
        self.spent = Spent()
        # One for all passes: a second one would keep its records a second time.
        loader = run.loader
        self.passes: dict[str, Pass] = {RESIDENT: self._resident, FED: self.fed, LOADER: whole(loader)}
        self._run, self._stepper, self._clock = run, stepper, clock
        self._batch_size, self._lr = batch_size, lr
        self._device, self._num_steps = loader.config.device, len(loader)
        self._batch: Batch = {name: values.clone() for name, values in next(iter(loader)).items()}

    @property
    def num_patches(self) -> int:
        """Patches of a lap."""
        return self._num_steps * self._batch_size

    def _resident(self, lap: Lap) -> int:
        self._stepper.model.train()
        for _ in range(self._num_steps):
            self._stepper.step(self._batch, self._batch_size, self._lr)
        finish(self._device)
        return self.num_patches

    def fed(self, lap: Lap) -> int:
        """Train an epoch."""
        stepper, loader = self._stepper, self._run.loader
        spent = Spent()

        def begin() -> None:
            lap.begin()
            spent.total, spent.waited, spent.stepped = -self._clock(), -loader.wait_seconds, -stepper.seconds
            spent.processor = -time.process_time()

        stepper.before_next = begin
        stepper.events = StepEvents() if self._device.type == "cuda" else None
        self._run.train_epoch()
        finish(self._device)
        spent.total += self._clock()
        spent.waited += loader.wait_seconds
        spent.stepped += stepper.seconds
        spent.processor += time.process_time()
        if stepper.events is not None:
            spent.idle, spent.marked = stepper.events.idle_and_total()
        stepper.events = None
        self._run.next_epoch()
        if lap.is_timed:
            for name, seconds in vars(spent).items():
                setattr(self.spent, name, getattr(self.spent, name) + seconds)
        return self.num_patches
