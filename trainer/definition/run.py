"""Table `run`: the folder of a run, its seed, its end, and when its state is saved."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from trainer.definition.check import Checked
from trainer.definition.option import MOST, option


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
        unset="no early end",
        resumable=True,
        help="End after this number of epochs without a better validation score.",
    )
    max_steps: int | None = option(
        None, at_least=1, at_most=MOST, unit="steps", unset="no limit", help="End after this number of steps."
    )
    max_minutes: float | None = option(
        None, above=0, unit="min", unset="no limit", resumable=True, help="Stop after this time, to be resumed."
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
