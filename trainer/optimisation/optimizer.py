"""The optimiser, and which parameters decay."""

from typing import Any, Final

from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from shards.errors import InvalidValue
from trainer.definition.optimisation import OptimizerConfig
from trainer.errors import BadCheckpoint
from trainer.optimisation.scales import lr_scales

LR_SCALE: Final = "lr_scale"
"""Key of a group's share of the learning rate; groups without it have all of it."""


def create(config: OptimizerConfig, model: nn.Module) -> Optimizer:
    """Return an optimiser of the trainable parameters of a model, which is already on its device.

    Raises:
        ValueError: none of its parameters is trainable.
    """
    groups = _groups(config, model)
    if config.optimizer == "sgd":
        # Nesterov momentum of 0 is none, which torch wants to be told.
        return SGD(groups, config.lr, momentum=config.momentum, nesterov=config.momentum > 0, fused=True)
    if config.optimizer == "lamb":
        # Imported where it is needed: timm takes three seconds.
        from timm.optim.lamb import Lamb

        return Lamb(groups, config.lr)
    return AdamW(groups, config.lr, fused=True)


def set_lr(optimizer: Optimizer, lr: float) -> None:
    """Set the learning rate of the next update."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get(LR_SCALE, 1.0)


def check_state(own: Optimizer, state: Any) -> None:
    """Check that a saved state is one of this optimiser: torch itself compares little more than the number of groups.

    Raises:
        BadCheckpoint: it is not.
    """
    expected = own.state_dict()["param_groups"]
    groups = state.get("param_groups") if isinstance(state, dict) else None
    moments = state.get("state") if isinstance(state, dict) else None
    if not isinstance(groups, list) or not isinstance(moments, dict) or len(groups) != len(expected):
        raise BadCheckpoint("the state of the optimizer has other groups of parameters")
    for found, group in zip(groups, expected, strict=True):
        if not isinstance(found, dict):
            raise BadCheckpoint("the state of the optimizer has other groups of parameters")
        # The learning rate is set in every step; versions of torch differ in what else they note.
        for name in group.keys() & found.keys() - {"lr", "fused", "foreach", "initial_lr"}:
            if type(found[name]) is not type(group[name]) or found[name] != group[name]:
                raise BadCheckpoint(f"the optimizer has {name} {found[name]!r:.80}, expected {group[name]!r:.80}")
        if type(found.get("step", 0)) is not int:  # LAMB counts here.
            raise BadCheckpoint(f"the optimizer has step {found['step']!r:.80}, expected a number")
    parameters = dict(enumerate(p for group in own.param_groups for p in group["params"]))
    for number, values in moments.items():
        if number not in parameters or not isinstance(values, dict):
            raise BadCheckpoint(f"the optimizer has a state of parameter {number!r:.80}, which there is not")
        shape = parameters[number].shape
        for name, value in values.items():
            if isinstance(value, Tensor) and not (
                value.ndim == 0 if name == "step" else value.shape == shape and value.dtype is parameters[number].dtype
            ):
                raise BadCheckpoint(f"{name} of parameter {number} is of shape {tuple(value.shape)} and {value.dtype}")


def _groups(config: OptimizerConfig, model: nn.Module) -> list[dict[str, object]]:
    """Return the trainable parameters, each once, with their weight decay."""
    parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    if not parameters:
        raise InvalidValue("the model has no trainable parameters")
    scales = lr_scales(config, model)
    groups: dict[tuple[float, bool], list[Tensor]] = {}
    for name, parameter in parameters.items():
        decays = config.decay == "all" or parameter.ndim > 1
        groups.setdefault((scales.get(name, 1.0), decays), []).append(parameter)
    # Those that decay come first, as in states of before.
    return [
        {"params": groups[scale, decays], "weight_decay": config.weight_decay if decays else 0.0}
        | ({LR_SCALE: scale} if scales else {})
        for scale, decays in sorted(groups, key=lambda key: (-key[0], not key[1]))
    ]
