"""Saving the state of a run: every few minutes or steps within an epoch, and at its end."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trainer.data.loader import Loader
from trainer.runs import folder as run_folder
from trainer.runs.checkpoint import Checkpoint
from trainer.runs.state import State
from trainer.runtime.stop import Stop
from trainer.training.running_loss import RunningLoss
from trainer.training.session import Session
from trainer.training.step import Stepper


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

    def is_due(self, steps: int) -> bool:
        """Return True if the state is to be saved after this number of steps, whatever the time."""
        return self._save_steps is not None and steps % self._save_steps == 0

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
            total = float(self._session.ranks.sum(loss.total()))
            state.loss = {"total": total, "num_patches": loss.num_patches}
        if self.writes:
            progress = {
                "state": asdict(state),
                "stepper": self._stepper.state_dict(),
                "chosen": self._session.chosen(dict(loaders)).to_json(),
            }
            self.write(path, state, progress=progress)
        self.stop.saved()

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
            **{"metrics": None, "thresholds": None, **more},
        )
        with run_folder.written(self._folder, self._folder / path):
            checkpoint.write(self._folder / path)
