"""The mean loss of an epoch, kept on the device, so that a step never waits for its own loss."""

import torch
from torch import Tensor

from trainer.errors import NonFiniteLoss


class RunningLoss:
    """Mean loss of an epoch so far, and its first step without a finite one."""

    def __init__(self, device: torch.device, epoch: int) -> None:
        self._epoch = epoch
        self._num_patches = 0
        self._total = torch.zeros((), dtype=torch.float64, device=device)
        self._bad_step = torch.zeros((), dtype=torch.float64, device=device)

    def add(self, loss: Tensor, num_patches: int, step: int) -> None:
        """Add the mean loss of a step, numbered from 1, without waiting for it."""
        loss = loss.detach().double()
        self._total += loss * num_patches
        self._bad_step = torch.where((self._bad_step == 0) & ~loss.isfinite(), step, self._bad_step)
        self._num_patches += num_patches

    def mean(self) -> float:
        """Return the mean loss of the patches so far; waits for the device.

        Raises:
            NonFiniteLoss: a step had no finite loss.
        """
        total, bad_step = torch.stack((self._total, self._bad_step)).tolist()
        if bad_step:
            raise NonFiniteLoss(
                f"the loss of step {bad_step:.0f} of epoch {self._epoch} is not finite; "
                "try a lower learning rate, or --verify if the shards may be damaged"
            )
        return float(total / self._num_patches)
