"""The mean losses of an epoch and of the steps since the last logged one, kept on the device.

A step never waits for its own loss.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Seen(NamedTuple):
    """Losses as a look at them finds them.

    Attributes:
        mean: mean loss of the patches of the epoch so far.
        bad_step: first step of the epoch, from 1, without a finite loss; None if there is none.
        window: mean loss of the patches since the last logged step.
        norm: norm of the gradients of the last step that it was computed in.
    """

    mean: float
    bad_step: int | None
    window: float
    norm: float


class RunningLoss:
    """Mean loss of an epoch so far, its first step without a finite one, and the mean loss since the last logged step.

    Attributes:
        num_patches: patches of the epoch so far.
        window_patches: patches since the last logged step, be it in an epoch before.
    """

    def __init__(self, device: torch.device) -> None:
        self.num_patches = self.window_patches = 0
        # One tensor, so that looking at it waits once: sum, first bad step, sum since the last logged step, norm.
        self._values = torch.zeros(4, dtype=torch.float64, device=device)

    def add(self, loss: Tensor, num_patches: int, step: int, norm: Tensor | None = None) -> None:
        """Add the mean loss of a step without waiting for it.

        Args:
            loss: a scalar on the device.
            num_patches: of the step.
            step: number of the step in the epoch, from 1.
            norm: of its gradients, a scalar on the device; None if it was not computed.
        """
        loss = loss.double()
        total, bad_step, window, last_norm = self._values.unbind()
        bad_step += torch.where((bad_step == 0) & ~loss.isfinite(), float(step), 0.0)
        total += loss * num_patches
        window += loss * num_patches
        if norm is not None:
            last_norm.copy_(norm)
        self.num_patches += num_patches
        self.window_patches += num_patches

    def look(self, sum_over_ranks: Callable[[Tensor], Tensor] | None = None) -> Seen:
        """Return what there is so far. Waits for the device, once.

        Args:
            sum_over_ranks: adds up the window of all ranks; None leaves this rank's share of it.
        """
        values = self._values
        if sum_over_ranks is not None:
            values = torch.cat([values[:2], sum_over_ranks(values[2:3]), values[3:]])
        total, bad_step, window, norm = values.tolist()
        patches = max(1, self.num_patches), max(1, self.window_patches)
        return Seen(total / patches[0], int(bad_step) or None, window / patches[1], norm)

    def total(self) -> Tensor:
        """Return the sum of the losses of all patches of the epoch so far, a tensor on the device."""
        return self._values[0]

    def begin_epoch(self) -> None:
        """Forget the epoch; the window continues."""
        self.num_patches = 0
        self._values[:2].zero_()

    def begin_window(self) -> None:
        """Forget the steps up to the logged one."""
        self.window_patches = 0
        self._values[2:3].zero_()

    def state_dict(self, sum_over_ranks: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """Return the losses of all ranks. Waits for the device."""
        total, window = sum_over_ranks(self._values[::2].clone()).tolist()
        return {
            "total": total,
            "num_patches": self.num_patches,
            "window_total": window,
            "window_patches": self.window_patches,
        }

    def load_state_dict(self, state: dict[str, float], share: float = 1.0) -> None:
        """Continue with a share of the losses that `state_dict` returned."""
        self._values[0], self._values[2] = share * state["total"], share * state["window_total"]
        self.num_patches, self.window_patches = int(state["num_patches"]), int(state["window_patches"])
