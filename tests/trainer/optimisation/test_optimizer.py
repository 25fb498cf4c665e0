"""Optimisers: what they train, and what decays."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from trainer.definition.choices import DECAYS, OPTIMIZERS, Decay, OptimizerName
from trainer.definition.optimisation import OptimizerConfig
from trainer.optimisation.optimizer import create


class Net(nn.Module):
    """A model with a frozen layer, and one weight that two layers share."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.norm = nn.BatchNorm2d(4)
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4, bias=False)
        self.second.weight = self.first.weight
        self.frozen = nn.Linear(4, 4)
        self.frozen.requires_grad_(False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Use every layer but the frozen one."""
        return self.second(self.first(self.norm(self.stem(images)).mean((2, 3))))


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("decay", DECAYS)
def test_every_trainable_parameter_is_trained_once(name: OptimizerName, decay: Decay) -> None:
    """A part of the model is not trained, is trained twice in a step, or was to stay as it is."""
    model = Net()
    groups = create(OptimizerConfig(optimizer=name, decay=decay), model).param_groups
    found = [id(parameter) for group in groups for parameter in group["params"]]
    assert len(found) == len(set(found))
    assert set(found) == {id(parameter) for parameter in model.parameters() if parameter.requires_grad}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("decay", DECAYS)
def test_norms_and_biases_decay_only_if_told(name: OptimizerName, decay: Decay) -> None:
    """Weight decay pulls norms and biases to zero, or no longer holds the weights."""
    model = Net()
    optimizer = create(OptimizerConfig(optimizer=name, decay=decay, lr=0.1, weight_decay=0.5), model)
    for parameter in model.parameters():
        nn.init.ones_(parameter)
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for parameter_name, parameter in model.named_parameters():
        decays = parameter.requires_grad and (decay == "all" or parameter.ndim > 1)
        assert bool((parameter < 1).all()) == decays, parameter_name
        assert bool((parameter == 1).all()) != decays, parameter_name


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_loss_falls(name: OptimizerName, momentum: float) -> None:
    """An optimiser goes uphill or nowhere, or torch refuses its options."""
    torch.manual_seed(0)
    model, images, target = Net(), torch.randn(16, 3, 2, 2), torch.randn(16, 4)
    optimizer = create(OptimizerConfig(optimizer=name, lr=0.01, momentum=momentum), model)
    losses = []
    for _ in range(40):
        loss = (model(images) - target).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.95 * losses[0]


def test_options_reach_the_optimizer() -> None:
    """A learning rate, momentum or weight decay that was asked for is not used."""
    for name in OPTIMIZERS:
        optimizer = create(OptimizerConfig(optimizer=name, lr=0.25, weight_decay=0.125, momentum=0.5), Net())
        weights, norms = optimizer.param_groups
        assert (weights["lr"], weights["weight_decay"]) == (norms["lr"], 0.125) == (0.25, 0.125)
        assert norms["weight_decay"] == 0
        if name == "sgd":
            assert (weights["momentum"], weights["nesterov"]) == (0.5, True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "adam"}, "adamw, sgd, lamb"),
        ({"decay": "some"}, "one of weights, all"),
        ({"lr": 0.0}, "lr is 0.0"),
        ({"lr": math.nan}, "lr is nan"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0"),
        ({"weight_decay": math.inf}, "weight_decay is inf"),
        ({"momentum": 1.0}, "momentum is 1.0"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    """A run starts with an optimiser that makes no sense."""
    with pytest.raises(ValueError, match=message):
        OptimizerConfig(**options)


def test_a_frozen_model_is_refused() -> None:
    """A run in which nothing can be learnt takes its time all the same."""
    with pytest.raises(ValueError, match="no trainable parameters"):
        create(OptimizerConfig(), Net().requires_grad_(False))
