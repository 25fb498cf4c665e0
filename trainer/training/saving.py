"""Saving the state of a run: every few minutes or steps within an epoch, and at its end."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from trainer.data.loader import Loader
from trainer.metrics.metrics import Metrics
from trainer.runs import folder as run_folder
from trainer.runs import kept
from trainer.runs.checkpoint import Checkpoint
from trainer.runs.state import State
from trainer.runtime.stop import Request, Stop
from trainer.training.epochs.best import value_of
from trainer.training.running_loss import RunningLoss
from trainer.training.session import Session
from trainer.training.step import Stepper

AGREE_STEPS: Final = 10
"""Steps after which several ranks agree on what to do; one process alone looks after every step."""


class Saving:
    """Writes the checkpoints of a run.

    Attributes:
        is_on: False for a benchmark, which saves nothing.
        writes: whether this rank writes the files.
        stop: knows when the state was saved last.
    """

    def __init__(self, session: Session, stepper: Stepper, *, is_on: bool) -> None:
        run = session.config.run
        self.is_on, self.writes = is_on, is_on and session.ranks.is_first
        self.stop = Stop(run.max_minutes, run.save_minutes)
        self._session, self._stepper = session, stepper
        self._folder, self._save_steps = run.out, run.save_steps
        self._monitor, self._keep = run.monitor, run.keep

    def is_due(self, steps: int) -> bool:
        """Return True if the state is to be saved after this number of steps, whatever the time."""
        return self._save_steps is not None and steps % self._save_steps == 0

    def agreed_request(self, steps: int, *, failed: bool, at_end: bool) -> Request:
        """Return what all ranks do after a number of steps since the run began.

        Args:
            steps: made so far.
            failed: this rank has seen a loss that is not finite.
            at_end: the epoch, or the run, has no more steps.
        """
        save_now, ranks = self.is_due(steps), self._session.ranks
        request = Request.FAILED if failed else max(self.stop.request(), Request.SAVE if save_now else Request.NONE)
        if ranks.num_ranks == 1:
            return request
        if save_now or steps % AGREE_STEPS == 0 or at_end:
            return Request(ranks.agree(request))
        return Request.NONE

    def save(
        self, state: State, loss: RunningLoss, loaders: Mapping[str, Loader], path: Path = run_folder.LAST
    ) -> None:
        """Save where the run is. All ranks call it after the same step.

        Args:
            state: of the run; receives the loss so far.
            loss: of the epoch under way.
            loaders: by split.
            path: of the checkpoint, relative to the run's folder.

        Raises:
            TrainError: the checkpoint cannot be written.
        """
        if self.is_on:
            state.loss = loss.state_dict(self._session.ranks.sum)
        if self.writes:
            progress = {
                "state": asdict(state),
                "stepper": self._stepper.state_dict(),
                "chosen": self._session.chosen(dict(loaders)).to_json(),
            }
            self.write(path, state, progress=progress)
        self.stop.saved()

    def save_epoch(
        self, state: State, metrics: Metrics | None, thresholds: dict[str, float], *, is_best: bool, score: float
    ) -> None:
        """Write the checkpoints of an epoch that has ended: `best.pt` and that of a kept epoch, as far as it is one.

        Args:
            state: after the epoch; receives which epochs are kept.
            metrics: on the validation split; None for a run without validation.
            thresholds: by class name.
            is_best: the epoch is the best so far.
            score: the higher the better.

        Raises:
            TrainError: a checkpoint cannot be written.
        """
        of_epoch = {"metrics": metrics and metrics.to_json(), "thresholds": thresholds}
        if is_best and self.writes:
            self.write(run_folder.BEST, state, **of_epoch)
        if self._keep is not None and metrics is not None:
            name = kept.name_of(state.epoch, self._monitor, value_of(metrics, self._monitor))
            if kept.enter(state.kept, name, score, self._keep) and self.writes:
                self.write(run_folder.BEST.with_name(name), state, **of_epoch)

    def prune(self, state: State) -> None:
        """Remove checkpoints of epochs that the saved state no longer lists as kept; none where none are kept."""
        if self._keep is not None and self.writes:
            kept.prune(self._folder, state.kept)

    def trim(self, state: State) -> None:
        """List as kept only as many epochs as the run now keeps."""
        if self._keep is not None:
            kept.trim(state.kept, self._keep)

    def write(self, path: Path, state: State, **more: Any) -> None:
        """Write a checkpoint.

        Args:
            path: relative to the run's folder.
            state: of the run.
            more: fields of `Checkpoint`: its progress, or its metrics and thresholds.

        Raises:
            TrainError: it cannot be written.
        """
        session, ema = self._session, self._stepper.ema
        checkpoint = Checkpoint(
            model=session.model.spec,
            state=session.model.state_dict(),
            ema=None if ema is None else ema.model.state_dict(),
            normalisation=session.normalisation,
            epoch=state.epoch,
            step=state.step,
            source_version=session.store.manifest.source_version,
            synthetic=session.store.manifest.synthetic,
            manifest_sha256=session.manifest_sha256,
            config=session.options,
            classes=session.model.spec.nomenclature.names,
            **{"metrics": None, "thresholds": None, **more},
        )
        with run_folder.written(self._folder, self._folder / path):
            checkpoint.write(self._folder / path)
