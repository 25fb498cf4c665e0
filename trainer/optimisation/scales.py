"""Shares of the learning rate that the parts of a network are trained with."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from torch import nn

from trainer.definition.optimisation import OptimizerConfig


@runtime_checkable
class Layered(Protocol):
    """A network whose parameters have places between the pixels and the classifier."""

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of the classifier's parameters."""

    def layer_scales(self, decay: float) -> dict[str, float]:
        """Return `decay` to the power of the distance from the classifier, by name of parameter."""


def lr_scales(config: OptimizerConfig, model: nn.Module) -> Mapping[str, float]:
    """Return the share of the learning rate by name of parameter; empty where all have all of it.

    Source of layer-wise decay: Clark et al., "ELECTRA" (ICLR 2020), and Bao et al., "BEiT" (ICLR 2022).
    """
    if config.backbone_lr == 1 and config.layer_decay == 1:
        return {}
    if not isinstance(model, Layered):
        raise TypeError(f"{type(model).__name__} does not know its classifier")
    names = [name for name, _ in model.named_parameters()]
    scales = dict.fromkeys(names, 1.0) if config.layer_decay == 1 else model.layer_scales(config.layer_decay)
    return {name: scales[name] * (1.0 if name in model.heads else config.backbone_lr) for name in names}
