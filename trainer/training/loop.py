"""A run: epochs, the best and the last checkpoint, and what ends it."""

import math
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final, NoReturn

import torch

from shards.errors import InvalidValue
from trainer.config import effect
from trainer.config.options import TrainConfig
from trainer.data import random as draws
from trainer.data.order import num_visits
from trainer.errors import BadCheckpoint
from trainer.optimisation import losses
from trainer.optimisation.schedule import lr_factor
from trainer.runs import folder as run_folder
from trainer.runs.checkpoint import Checkpoint, fit
from trainer.runs.loggers.base import Logging
from trainer.runs.state import Result, State
from trainer.runs.tensorboard import Board
from trainer.runtime.pace import Breaker, BrokenOff, HostAhead
from trainer.runtime.progress import EpochReport, Phase, StepReport, Stopwatch, Tee
from trainer.runtime.stop import Request
from trainer.training import non_finite, outcome
from trainer.training.epochs import best
from trainer.training.epochs.early_stopping import is_out_of_patience
from trainer.training.epochs.plateau import update_rate
from trainer.training.epochs.validation import validate
from trainer.training.extension import Length, extend
from trainer.training.running_loss import RunningLoss
from trainer.training.saving import Saving
from trainer.training.session import Session
from trainer.training.step import Stepper
from trainer.training.windows import Windows

_STEP_DRAWS: Final = 0x53544550
"""Purpose, in the key of the random numbers, of those that torch draws in a step (dropout, stochastic depth)."""


class Run:
    """A run of training, new or resumed; a context manager that stops its loaders.

    Attributes:
        stepper: the model in training.
        loader: of the train split.
    """

    def __init__(self, session: Session, stepper: type[Stepper] = Stepper, *, writes: bool = True) -> None:
        """Prepare a new run.

        Args:
            session: what it works with.
            stepper: what makes its steps.
            writes: whether it writes to its folder; a benchmark does not.
        """
        config, ranks = session.config, session.ranks
        self._session, self._config, self._ranks = session, config, ranks
        self._folder = config.run.out
        count = len(session.rows["train"])
        loss = losses.create(
            config.optimisation, session.class_counts(), count, ranks.device, ignored=config.data.ignore_labels
        )
        full = min(config.optimisation.batch_size, num_visits(count, session.repeats))
        self.stepper = stepper(session.model, loss, config, ranks, full=full)
        self._state = State()
        self._saving = Saving(session, self.stepper, is_on=writes)
        self._writes, self._stop = self._saving.writes, self._saving.stop
        self._exit = ExitStack()
        self.loader = self._exit.enter_context(session.loader("train"))
        self._loaders = {"train": self.loader}
        if config.data.validation:
            self._loaders["validation"] = self._exit.enter_context(session.loader("validation"))
        self._progress = session.progress
        self._num_steps = min(config.optimisation.epochs * len(self.loader), config.run.max_steps or sys.maxsize)
        effect.check_size(
            config,
            session.given,
            num_steps=self._num_steps,
            largest_part=self.loader.order.largest_part(ranks.num_ranks),
            num_patches=len(session.rows["train"]),
        )
        self._loss = RunningLoss(ranks.device)
        self._bad_step: int | None = None
        self._last_report: StepReport | None = None
        self._windows = Windows(config.run.log_steps, len(self.loader), ranks.device)
        self._clock = time.monotonic()

    def __enter__(self) -> "Run":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.close()

    def load(self, last: Checkpoint) -> None:
        """Resume a run from the state in a checkpoint.

        Raises:
            BadCheckpoint: what the checkpoint holds is not the state of this run.
            TrainError: the reports of the epochs before are damaged.
        """
        path = self._folder / run_folder.LAST
        progress = last.progress
        if progress is None or not {"state", "stepper"} <= progress.keys():
            raise BadCheckpoint(f"{path} holds no state of a run, only weights: it cannot be resumed")
        fit(self._session.model.state_dict(), last.state, f"{path}: weights")
        self._session.model.load_state_dict(last.state)
        try:
            self._state = State.from_json(progress["state"])
            self._state.check(TrainConfig.from_json(last.config).optimisation.epochs, len(self.loader))
            self.stepper.load_state_dict(progress["stepper"], last.ema)
        except (InvalidValue, BadCheckpoint) as err:
            raise BadCheckpoint(f"{path} does not hold the state of this run: {err}") from err
        # The saved loss is that of all ranks: one of them alone takes it over.
        self._loss.load_state_dict(self._state.loss, share=float(self._ranks.is_first))
        if self._writes:
            run_folder.keep_epochs(self._folder / run_folder.METRICS, self._state.epoch)
        self._saving.prune(self._state)
        self._saving.trim(self._state)

    def extend(self, before: Length) -> None:
        """Give the run the length of its configuration in place of the one before, after `load`; `save` it then.

        Raises:
            InvalidValue: the run is beyond the new length.
        """
        length = Length.of(self._config)
        extend(self._state, length, len(self.loader))
        self._progress.say(f"{length.words} in place of {before.words}: the learning rate follows the new length")

    def go(self) -> Result:
        """Train to the end, or until something stops the run; the state is saved then."""
        self._clock = time.monotonic()
        session, is_first, logger = self._session, self._ranks.is_first, self._config.run.logger
        with (
            self,
            self._stop.listen(),
            Board(self._folder, self._first_step, is_first, session.options_text) as board,
            Logging(self._folder, logger if is_first else None, session.options, session.progress.say) as log,
        ):
            self._windows.boards = (board, log)
            self._progress = Tee(self._progress, board, log, Breaker(self._stop, self._ranks))
            was_ended = self._state.ended
            if self._first_step == 0:
                # From here on a kill at any moment can be resumed.
                self.save()
            elif not was_ended:
                place = f"epoch {self._state.epoch + 1}, after {self._state.step} of {len(self.loader)} steps"
                self._progress.say(f"resumed in {place}")
            try:
                while not self._state.ended:
                    request = self.train_epoch()
                    if request is not None:
                        self.save()
                        return self._result(request)
                    self._end_epoch()
                    self.save()
                    self._saving.prune(self._state)
                self._ranks.wait()
                result = self._result()
                if was_ended:
                    epochs = f"{self._state.epoch} of {self._config.optimisation.epochs} epochs"
                    self._progress.say(f"the run is finished already: {epochs}")
                return result
            except BrokenOff:
                self.save()
                return self._result(Request.SIGNAL)

    @property
    def _first_step(self) -> int:
        return self._state.epoch * len(self.loader) + self._state.step

    def train_epoch(self) -> Request | None:
        """Train to the end of the epoch under way, or to the last step; return what stops the run before."""
        state, config = self._state, self._config
        loader, stepper = self.loader, self.stepper
        phase = Phase("train", state.epoch + 1, config.optimisation.epochs)
        stopwatch = Stopwatch(phase, loader, self._progress, state.step)
        host = HostAhead(self._ranks.device)
        if self._at_end():
            # The run was stopped when the epoch was validated.
            return None
        loader.move_to(state.epoch, state.step)
        self._session.model.train()
        for batch in loader:
            step = self._first_step
            # What dropout draws in a step is the same whether or not the run was resumed before it.
            torch.manual_seed(draws.key(config.run.seed, _STEP_DRAWS, step, self._ranks.rank) >> 1)
            lr = self._lr(step)
            num_patches = loader.order.batch_count(state.step)
            is_logged = self._windows.is_logged(step + 1)
            loss = stepper.step(batch, num_patches, lr, measure=is_logged)
            state.step += 1
            self._loss.add(loss, num_patches, state.step, stepper.norm)
            # On a CPU there is nothing to wait for.
            if (due := stopwatch.count()) or is_logged or loss.is_cpu:
                seen = self._loss.look(self._ranks.sum if is_logged else None)
                self._bad_step = seen.bad_step
                if due:
                    # Each rank knows its share of the loss, which is a sum over the ranks.
                    self._last_report = stopwatch.report(seen.mean * self._ranks.num_ranks, lr)
                if is_logged and seen.bad_step is None:
                    norm = stepper.norm is not None
                    self._windows.log(step + 1, self._loss, seen, lr, stopwatch, norm=norm)
            host.wait()
            match self._saving.agreed_request(step + 1, failed=self._bad_step is not None, at_end=self._at_end()):
                case Request.FAILED:
                    self._fail()
                case Request.SAVE:
                    self.save()
                case (Request.TIME_UP | Request.SIGNAL) as request:
                    return request
            if self._at_end():
                break
        return None

    def _lr(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0 since the run began."""
        factor = lr_factor(self._config.optimisation, step, self._num_steps, len(self.loader))
        return self._config.optimisation.lr * factor * self._state.lr_factor

    def _at_end(self) -> bool:
        """True if the last step of the epoch, or of the run, is done."""
        return self._state.step == len(self.loader) or self._first_step >= self._num_steps

    def _end_epoch(self) -> None:
        """Evaluate on the validation split, and keep the checkpoint if it is the best."""
        state, config = self._state, self._config
        phase = Phase("train", state.epoch + 1, config.optimisation.epochs)
        steps = self._first_step
        train_loss = float(self._ranks.sum(self._loss.total())) / self._loss.num_patches
        if not math.isfinite(train_loss):
            self._bad_step = self._loss.look().bad_step
            self._fail()
        measured = replace(phase, split="validation")
        loader = self._loaders.get("validation")
        metrics, thresholds = validate(self._session, self.stepper, loader, measured, self._progress)
        self.next_epoch()
        is_best, score = best.judge(state, metrics, config.run.monitor)
        self._saving.save_epoch(state, metrics, thresholds, is_best=is_best, score=score)
        ended = steps >= self._num_steps or is_out_of_patience(state.epoch, state.best_epoch, config.run.patience)
        # Decided by all, as metrics that differ in the last digit must not part the ranks.
        state.ended = bool(self._ranks.agree(int(ended)))
        report = EpochReport(
            phase=phase,
            step=steps,
            train_loss=train_loss,
            validation=metrics,
            speed=self._last_report,
            is_best=is_best,
            lr=self._lr(steps - 1),
            seconds=self._count_seconds(),
        )
        # By all again: ranks with different learning rates would train different networks.
        if update_rate(state, config.optimisation, is_best=bool(self._ranks.agree(int(is_best)))) and not state.ended:
            self._progress.say(f"plateau: the learning rate is {self._lr(steps):.2e} from here on")
        if self._writes:
            path = self._folder / run_folder.METRICS
            with run_folder.written(self._folder, path):
                run_folder.append_line(path, report.to_json())
        self._last_report = None
        self._progress.epoch(report)

    def next_epoch(self) -> None:
        """Move to the next epoch."""
        self._state.epoch, self._state.step = self._state.epoch + 1, 0
        self._loss.begin_epoch()

    def _fail(self) -> NoReturn:
        """Save what there is and say which patches the loss was not finite of."""
        # Another rank may have found it, and know the step better.
        step = self._bad_step or self._state.step
        rows = self.loader.order.epoch(self._state.epoch).batch(step - 1)
        keys = [self._session.store.index.key(int(row)) for row in rows]
        self.save(run_folder.NON_FINITE)
        raise non_finite.error(
            self._folder, self._state.epoch + 1, step, keys, writes=self._writes, is_saved=self._saving.is_on
        )

    def _count_seconds(self) -> float:
        """Add the time since the last call to that of the run, and return it."""
        now = time.monotonic()
        self._state.seconds += now - self._clock
        self._clock = now
        return self._state.seconds

    def save(self, path: Path = run_folder.LAST) -> None:
        """Save where the run is and what it has chosen, which it keeps when it is resumed."""
        self._count_seconds()
        self._saving.save(self._state, self._loss, self._loaders, path)

    def _result(self, stopped_by: Request | None = None) -> Result:
        return outcome.result(self._session, self._state, stopped_by, self._progress, writes=self._writes)
