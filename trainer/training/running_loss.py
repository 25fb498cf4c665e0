"""The mean loss of an epoch, kept on the device, so that a step never waits for its own loss."""

import torch
from torch import Tensor


class RunningLoss:
    """Mean loss of an epoch so far, and its first step without a finite one.

    Attributes:
        num_patches: patches so far.
    """

    def __init__(self, device: torch.device) -> None:
        self.num_patches = 0
        # One tensor, so that looking at it waits once: the sum, and the first bad step.
        self._values = torch.zeros(2, dtype=torch.float64, device=device)

    def add(self, loss: Tensor, num_patches: int, step: int) -> None:
        """Add the mean loss of a step, numbered from 1, without waiting for it."""
        loss = loss.double()
        total, bad_step = self._values.unbind()
        bad_step += torch.where((bad_step == 0) & ~loss.isfinite(), float(step), 0.0)
        total += loss * num_patches
        self.num_patches += num_patches

    def mean(self) -> tuple[float, int | None]:
        """Return the mean loss of the patches so far and the first step, if any, without a finite loss.

        Waits for the device.
        """
        total, bad_step = self._values.tolist()
        return total / max(1, self.num_patches), int(bad_step) or None

    def total(self) -> Tensor:
        """Return the sum of the losses of all patches so far, a tensor on the device."""
        return self._values[0]

    def load_state_dict(self, state: dict[str, float], share: float = 1.0) -> None:
        """Go on with a share of the `total` loss of `num_patches` patches."""
        self._values[0] = share * state["total"]
        self.num_patches = int(state["num_patches"])
