"""The optimiser, and which parameters decay."""

import math
from dataclasses import dataclass
from typing import Final, Literal

from timm.optim.lamb import Lamb
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from shards.errors import InvalidValue

OptimizerName = Literal["adamw", "sgd", "lamb"]
OPTIMIZERS: Final[tuple[OptimizerName, ...]] = ("adamw", "sgd", "lamb")

Decay = Literal["weights", "all"]
DECAYS: Final[tuple[Decay, ...]] = ("weights", "all")
"""What decays: all but norms and biases, or everything."""


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Which optimiser. The recipe of the reBEN paper (Clasen et al., 2024) is the default, but with `decay="all"`.

    Attributes:
        name: `adamw`; `sgd` with Nesterov momentum; or `lamb`, for very large batches,
            which scales gradients down to a norm of at most 1 by itself.
        lr: highest learning rate.
        weight_decay: weight decay. For `adamw` apart from the gradient, for the others added to it (`sgd`) or to the
            update (`lamb`).
        momentum: of `sgd`.
        decay: what decays; `weights` leaves out what has one dimension, which is norms and biases.
    """

    name: OptimizerName = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.01
    momentum: float = 0.9
    decay: Decay = "weights"

    def __post_init__(self) -> None:
        if self.name not in OPTIMIZERS:
            raise InvalidValue(f"no optimizer {self.name!r}; there are {', '.join(OPTIMIZERS)}")
        # Not `<= 0`: a comparison with NaN is false, and NaN must not pass.
        if not 0 < self.lr < math.inf:
            raise InvalidValue(f"lr is {self.lr}, expected a number above 0")
        if not 0 <= self.weight_decay < math.inf:
            raise InvalidValue(f"weight_decay is {self.weight_decay}, expected a number of at least 0")
        if not 0 <= self.momentum < 1:
            raise InvalidValue(f"momentum is {self.momentum}, expected 0 to less than 1")
        if self.decay not in DECAYS:
            raise InvalidValue(f"decay is {self.decay!r}, expected {' or '.join(DECAYS)}")


def create(config: OptimizerConfig, model: nn.Module) -> Optimizer:
    """Return an optimiser of the trainable parameters of a model, which is already on its device.

    Raises:
        ValueError: none of its parameters is trainable.
    """
    groups = _groups(config, model)
    if config.name == "sgd":
        # Nesterov momentum of 0 is none, which torch wants to be told.
        return SGD(groups, config.lr, momentum=config.momentum, nesterov=config.momentum > 0, fused=True)
    if config.name == "lamb":
        return Lamb(groups, config.lr)
    return AdamW(groups, config.lr, fused=True)


def _groups(config: OptimizerConfig, model: nn.Module) -> list[dict[str, object]]:
    """Return the trainable parameters, each once, with their weight decay."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise ValueError("the model has no trainable parameters")
    if config.decay == "all":
        return [{"params": parameters, "weight_decay": config.weight_decay}]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
