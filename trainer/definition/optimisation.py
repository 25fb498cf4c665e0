"""Table `optimisation`: batches, optimiser, learning rate and loss."""

from dataclasses import dataclass
from typing import ClassVar, Final

from trainer.definition.check import Checked
from trainer.definition.choices import Decay, LossName, OptimizerName, ScheduleName
from trainer.definition.option import MOST, option

WARMUP_STEPS: Final = 1000
WARMUP_SHARE: Final = 0.1
"""Warm-up takes at most this share of a run, so that a short run has one too."""


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig(Checked):
    """The optimiser. Its defaults are those of the reBEN paper (Clasen et al., 2024), which has `decay="all"`."""

    TABLE: ClassVar[str] = "optimisation"

    optimizer: OptimizerName = option(
        "adamw", help="Optimiser; sgd has Nesterov momentum, lamb is for very large batches."
    )
    lr: float = option(1e-3, flag=True, above=0, help="Highest learning rate.")
    weight_decay: float = option(
        0.01,
        at_least=0,
        help="Weight decay, apart from the gradient (adamw), added to it (sgd) or to the update (lamb).",
    )
    decay: Decay = option("weights", help="What decays: weights, or norms and biases too.")
    momentum: float = option(0.9, at_least=0, below=1, help="Momentum of sgd.")
    backbone_lr: float = option(1.0, above=0, help="Factor of the learning rate for all but the classifier.")
    layer_decay: float = option(
        1.0,
        above=0,
        at_most=1,
        help="Factor of the learning rate from each layer to the one before it: timm's groups, or bepnet's stages.",
    )
    clip: float | None = option(None, above=0, unset="no limit", help="Highest norm of the gradients.")


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig(Checked):
    """The learning rate over a run.

    The defaults are the recipe of the reBEN paper (Clasen et al., 2024): 1,000 steps up from a tenth of the highest
    rate, then a cosine down to a tenth.
    """

    TABLE: ClassVar[str] = "optimisation"

    schedule: ScheduleName = option("cosine", help="Course of the learning rate after the warm-up.")
    warmup_steps: int | None = option(
        None,
        at_least=0,
        at_most=MOST,
        unit="steps",
        unset="1000, or a tenth of a shorter run",
        help="Steps up to the highest learning rate.",
    )
    start_factor: float = option(
        0.1, at_least=0, at_most=1, help="Share of the highest learning rate at the first step of the warm-up."
    )
    final_factor: float = option(
        0.1,
        at_least=0,
        at_most=1,
        help="Share of the highest learning rate at the last step of the schedule cosine, and of cycles of restarts.",
    )
    step_epochs: int = option(
        30, at_least=1, at_most=MOST, unit="epochs", help="Epochs between two steps of the schedule step."
    )
    step_gamma: float = option(
        0.1, at_least=0, at_most=1, help="Factor of the learning rate at each of them, and at each fall of plateau."
    )
    plateau_epochs: int = option(
        3,
        at_least=1,
        at_most=MOST,
        unit="epochs",
        help="Epochs without a better score (run.monitor) after which the schedule plateau lowers the rate.",
    )
    restart_epochs: int = option(
        10, at_least=1, at_most=MOST, unit="epochs", help="Epochs of the first cycle of the schedule restarts."
    )
    restart_growth: int = option(1, at_least=1, at_most=1000, help="Length of each cycle over that of the one before.")

    def warmup(self, num_steps: int) -> int:
        """Return the steps of warm-up in a run of `num_steps`; if they are as many, it never gets out of it."""
        if self.warmup_steps is not None:
            return self.warmup_steps
        return min(WARMUP_STEPS, int(WARMUP_SHARE * num_steps))


@dataclass(frozen=True, kw_only=True)
class LossConfig(Checked):
    """The loss.

    Attributes:
        label_smoothing: 0.1 makes labels of 0 and 1 0.05 and 0.95.
        positive_weights: for `bce` only, since the other losses have their own balance.
    """

    TABLE: ClassVar[str] = "optimisation"

    loss: LossName = option("bce", help="Loss: binary cross-entropy, asymmetric, or focal.")
    label_smoothing: float = option(0.0, at_least=0, below=1, help="Share of the way by which labels move to 0.5.")
    positive_weights: bool = option(False, help="Weight positive labels by their rarity in the train split.")
    max_positive_weight: float = option(10.0, at_least=1, help="Highest of these weights.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.positive_weights and self.loss != "bce":
            from shards.errors import InvalidValue

            raise InvalidValue(
                f"optimisation.positive_weights goes with optimisation.loss bce, not with {self.loss}; leave it out"
            )


@dataclass(frozen=True, kw_only=True)
class OptimisationConfig(LossConfig, ScheduleConfig, OptimizerConfig):
    """Options of the table `optimisation`."""

    TABLE: ClassVar[str] = "optimisation"

    batch_size: int = option(
        256, flag=True, at_least=1, at_most=MOST, unit="patches", help="Patches of a step, over all processes."
    )
    accumulate: int = option(
        1, at_least=1, at_most=MOST, unit="parts", help="Parts that a step is computed in, to save memory."
    )
    epochs: int = option(10, flag=True, at_least=1, at_most=MOST, help="Passes over the train split.")
    ema: float | None = option(
        None, at_least=0, below=1, unset="none", help="Decay of a moving average of the weights, which is evaluated."
    )
