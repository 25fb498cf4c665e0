"""A moving average of the weights, which is often better than the weights themselves."""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from shards.errors import InvalidValue


class Ema:
    """Exponential moving average of a model's parameters and buffers, updated after every step.

    `torch.optim.swa_utils.AveragedModel` is not used because each of its updates makes the host wait for the GPU: it
    keeps the number of updates in a tensor, and copies or compares that in every update. Its averaging function is.

    Buffers that are floats, which is the mean and variance of a BatchNorm, are averaged like the weights, so that they
    lag as the weights do and fit them; others (its number of batches) are copied.

    Attributes:
        model: the model of the averages, in evaluation mode, where the original is.
        num_updates: updates so far.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Begin with the weights that a model has, on the device that it is on.

        Args:
            model: to be averaged.
            decay: share of the average that an update keeps, 0 to less than 1.
        """
        if not 0 <= decay < 1:
            raise InvalidValue(f"the decay of the average is {decay}, expected 0 to less than 1")
        self.model = deepcopy(model).requires_grad_(False).eval()
        self.num_updates = 0
        self._decay = decay

    @property
    def decay(self) -> float:
        """The share that the next update keeps: (1 + t) / (10 + t) after t updates until that is more than the decay.

        So the average soon forgets the random weights that training begins with. Source: the `num_updates` of
        TensorFlow's `ExponentialMovingAverage`.
        """
        return min(self._decay, (1 + self.num_updates) / (10 + self.num_updates))

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take up the weights that the model has now."""
        averages, counters = _tensors(self.model)
        weights, new_counters = _tensors(model)
        get_ema_multi_avg_fn(self.decay)(averages, weights, None)
        if counters:
            # One kernel, not one for each BatchNorm.
            torch._foreach_copy_(counters, new_counters)
        self.num_updates += 1

    def state_dict(self) -> dict[str, Any]:
        """Return the averages and the number of updates."""
        return {"model": self.model.state_dict(), "num_updates": self.num_updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self.model.load_state_dict(state["model"])
        self.num_updates = state["num_updates"]


def _tensors(model: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """Return the parameters and buffers of a model: those that are floats, and the others."""
    tensors = [*model.parameters(), *model.buffers()]
    return [t for t in tensors if t.is_floating_point()], [t for t in tensors if not t.is_floating_point()]
