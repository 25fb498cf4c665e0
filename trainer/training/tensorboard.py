"""The run as TensorBoard shows it. All of TensorBoard is in this file."""

from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from torch.utils.tensorboard import SummaryWriter

from trainer.training.progress import EpochReport, StepReport


class Board:
    """Writes what a run reports as TensorBoard events; a `trainer.training.progress.Progress`."""

    def __init__(self, folder: Path, first_step: int, is_writer: bool) -> None:
        """Open the events of a run.

        Args:
            folder: of the run.
            first_step: steps done before; TensorBoard hides what was written behind them before a resume.
            is_writer: whether this process writes; the others of a run do nothing.
        """
        self._writer = SummaryWriter(str(folder), purge_step=first_step) if is_writer else None

    def __enter__(self) -> "Board":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    def note(self, text: str) -> None:
        """Do nothing: TensorBoard shows numbers."""

    def step(self, report: StepReport) -> None:
        """Write the report of a training step."""
        if self._writer is None or report.loss is None or report.lr is None:
            return
        step = (report.phase.epoch - 1) * report.num_steps + report.step
        self._writer.add_scalar("train/loss", report.loss, step)
        self._writer.add_scalar("train/lr", report.lr, step)
        self._writer.add_scalar("speed/patches_per_second", report.patches_per_second, step)
        self._writer.add_scalar("speed/loader_wait_share", report.wait_share, step)

    def epoch(self, report: EpochReport) -> None:
        """Write the report of an epoch."""
        if self._writer is None:
            return
        self._writer.add_scalar("train/epoch_loss", report.train_loss, report.step)
        metrics = report.validation
        scalars = {
            "loss": metrics.loss,
            "ap_macro": metrics.ap_macro,
            "ap_micro": metrics.ap_micro,
            "calibration_error": metrics.calibration_error,
            "hamming_loss": metrics.fixed.hamming_loss,
            "subset_accuracy": metrics.fixed.subset_accuracy,
        }
        for what, scores in (("macro", metrics.fixed.macro), ("micro", metrics.fixed.micro)):
            scalars |= {f"{name}_{what}": value for name, value in asdict(scores).items()}
        for name, value in scalars.items():
            if value is not None:
                self._writer.add_scalar(f"validation/{name}", value, report.step)
        for name, values in report.validation.classes.items():
            if values.ap is not None:
                self._writer.add_scalar(f"validation_ap/{name}", values.ap, report.step)
        self._writer.flush()
