"""Table `run`: the folder of a run, its seed, its end, and when its state is saved."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from trainer.definition.check import Checked
from trainer.definition.choices import LoggerName, Monitor
from trainer.definition.option import MOST, option

LOG_STEPS: Final = 50
"""Steps between two entries in TensorBoard unless the run says otherwise, or an epoch is shorter."""


@dataclass(frozen=True, kw_only=True)
class RunConfig(Checked):
    """Options of the table `run`."""

    TABLE: ClassVar[str] = "run"

    out: Path = option(flag=True, metavar="RUN", help="New folder for the run.")
    seed: int = option(0, flag=True, at_least=0, at_most=2**63 - 1, help="Seed of weights, order and augmentation.")
    test: bool = option(
        False, flag=True, resumable=True, help="Evaluate the best checkpoint on the test split at the end."
    )
    patience: int | None = option(
        None,
        at_least=1,
        at_most=MOST,
        unit="epochs",
        unset="no early stopping",
        resumable=True,
        help="End after this number of epochs without a better validation score.",
    )
    monitor: Monitor = option(
        "ap_macro",
        help="Validation score that decides the best epoch, patience and keep; F1 at 0.5, loss the lower the better.",
    )
    keep: int | None = option(
        None,
        at_least=1,
        at_most=MOST,
        unit="checkpoints",
        unset="best.pt only",
        resumable=True,
        help="Keep the checkpoints of this number of best epochs beside best.pt, with epoch and score in their names.",
    )
    log_steps: int | None = option(
        None,
        at_least=1,
        at_most=MOST,
        unit="steps",
        unset=f"{LOG_STEPS}, or an epoch if that is shorter",
        resumable=True,
        help="Steps between two entries of loss, learning rate, gradients, speed and memory in TensorBoard.",
    )
    logger: LoggerName | None = option(
        None,
        unset="TensorBoard only",
        resumable=True,
        help="Log the run with Weights & Biases or MLflow too; their environment variables say where.",
    )
    max_steps: int | None = option(
        None, at_least=1, at_most=MOST, unit="steps", unset="no limit", help="End after this number of steps."
    )
    max_minutes: float | None = option(
        None,
        above=0,
        unit="min",
        unset="no limit",
        resumable=True,
        help="Stop after this time, and resume later.",
    )
    save_minutes: float = option(
        10.0, above=0, unit="min", resumable=True, help="Time between two saved states within an epoch."
    )
    save_steps: int | None = option(
        None,
        at_least=1,
        at_most=MOST,
        unit="steps",
        unset="by time only",
        resumable=True,
        help="Steps between two saved states within an epoch.",
    )
