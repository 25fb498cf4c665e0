"""The processes of a run: one, or those that `torchrun` started, with a device each."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from types import MethodType
from typing import Any, Final

import torch
import torch.distributed as dist
from torch import Tensor, nn

from trainer.errors import TrainError

TIMEOUT: Final = timedelta(minutes=30)
"""Longest time that ranks wait for each other; the first rank writes checkpoints while the others wait."""

_LOST: Final = re.compile(
    r"/gloo/transport/.*\b(?:[Rr]ead|[Ww]rite|[Cc]onnection)\b.*\[([0-9A-Fa-f.:]+)\]:\d+", re.DOTALL
)
"""Errors of gloo, which are of no class of their own."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among those of the run.

    Attributes:
        device: where it computes.
        rank: its number, from 0.
        num_ranks: processes of the run.
        num_local: processes of the run on this machine.
        local_rank: its number among those.
        control: group in which the hosts agree without their devices; None for one process.
    """

    device: torch.device
    rank: int = 0
    num_ranks: int = 1
    num_local: int = 1
    local_rank: int = 0
    control: dist.ProcessGroup | None = None

    @property
    def is_first(self) -> bool:
        """True if this process writes the files and talks to people."""
        return self.rank == 0

    def agree(self, flag: int) -> int:
        """Return the highest flag of all ranks; waits for their hosts, not for their devices."""
        if self.num_ranks == 1:
            return flag
        flags = torch.tensor(flag, dtype=torch.int32)
        dist.all_reduce(flags, dist.ReduceOp.MAX, group=self.control)
        return int(flags)

    def wait(self) -> None:
        """Wait until all ranks are here."""
        if self.num_ranks > 1:
            dist.barrier()

    def gather(self, values: Tensor) -> Tensor:
        """Return the values of all ranks, concatenated; each may have another number of rows."""
        if self.num_ranks == 1:
            return values
        counts = [torch.zeros((), dtype=torch.int64, device=values.device) for _ in range(self.num_ranks)]
        dist.all_gather(counts, torch.tensor(len(values), device=values.device))
        largest = int(max(counts))
        padded = values.new_zeros((largest, *values.shape[1:]))
        padded[: len(values)] = values
        parts = [torch.empty_like(padded) for _ in range(self.num_ranks)]
        dist.all_gather(parts, padded)
        return torch.cat([part[: int(count)] for part, count in zip(parts, counts, strict=True)])

    def all(self, value: Any) -> list[Any]:
        """Return a small value of every rank, by rank; waits for their hosts."""
        if self.num_ranks == 1:
            return [value]
        values: list[Any] = [None] * self.num_ranks
        dist.all_gather_object(values, value, group=self.control)
        return values

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over the ranks."""
        if self.num_ranks == 1:
            return values
        total = values.clone()
        dist.all_reduce(total)
        return total


def _from_environment(name: str, default: int) -> int:
    """Return a number that `torchrun` hands to its processes in a variable."""
    text = os.environ.get(name, str(default))
    if not (text.isascii() and text.isdecimal()):
        raise TrainError(
            f"the environment variable {name} is {text!r}, expected a number as torchrun sets it; unset it"
        )
    return int(text)


@contextmanager
def open_ranks(device: str = "auto") -> Iterator[Ranks]:
    """Join the other processes of a run, if `torchrun` started any, while the block runs.

    Args:
        device: `cpu`, `cuda`, or `auto` for a GPU where torch sees one.

    Raises:
        TrainError: there is no GPU, or fewer than processes; a variable of `torchrun` is no number; or, in the block,
            the connection to another process was lost.
    """
    rank, local_rank = _from_environment("RANK", 0), _from_environment("LOCAL_RANK", 0)
    num_ranks, num_local = _from_environment("WORLD_SIZE", 1), _from_environment("LOCAL_WORLD_SIZE", 1)
    if device == "cuda" and not torch.cuda.is_available():
        raise TrainError("there is no GPU that torch can use; leave `device=` out, or say `device=cpu`")
    on_gpu = device != "cpu" and torch.cuda.is_available()
    if on_gpu and local_rank >= torch.cuda.device_count():
        raise TrainError(f"{num_local} processes on this machine, but torch sees {torch.cuda.device_count()} GPUs")
    place = torch.device("cuda", local_rank) if on_gpu else torch.device("cpu")
    if on_gpu:
        torch.cuda.set_device(place)
    if "RANK" not in os.environ:
        yield Ranks(place)
        return
    dist.init_process_group("nccl" if on_gpu else "gloo", timeout=TIMEOUT)
    try:
        control = dist.new_group(backend="gloo", timeout=TIMEOUT)
        assert isinstance(control, dist.ProcessGroup)
        yield Ranks(place, rank, num_ranks, num_local, local_rank, control)
    except RuntimeError as err:
        if found := _LOST.search(str(err)):
            raise TrainError(
                f"the connection to another process of the run, on {found[1]}, was lost: it has ended, or its host "
                "cannot be reached; what was saved last is whole, and the run can be resumed"
            ) from err
        raise
    finally:
        dist.destroy_process_group()


def synchronise_batch_norm(model: nn.Module, share: Tensor) -> None:
    """Let every BatchNorm of a model use the statistics of the whole global batch, in place.

    The names and values of parameters and buffers stay. torch's own SyncBatchNorm needs a GPU and a module of its own,
    which networks that fuse normalisation and activation in one module lose theirs by; this one works on both.

    Args:
        model: the network.
        share: a scalar on its device, which is looked at in every call: 1 if this rank's patches count, 0 if they stand
            in for none.
    """
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            forward = _forward_with(share, getattr(module, "drop", None), getattr(module, "act", None))
            module.forward = MethodType(forward, module)  # type: ignore[method-assign]


def _forward_with(share: Tensor, drop: Any, act: Any) -> Callable[[nn.modules.batchnorm._BatchNorm, Tensor], Tensor]:
    def forward(self: nn.modules.batchnorm._BatchNorm, x: Tensor) -> Tensor:
        x = (
            _batch_norm(self, x, share)
            if self.training
            else nn.functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        )
        # timm fuses normalisation, dropout and activation in one module.
        for layer in (drop, act):
            if layer is not None:
                x = layer(x)
        return x

    return forward


class _Total(torch.autograd.Function):
    """The sum over all ranks; the gradient of each rank's part is the sum of all ranks' gradients of the total."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total


def _total(values: Tensor) -> Tensor:
    total: Tensor = _Total.apply(values)
    return total


def _batch_norm(module: nn.modules.batchnorm._BatchNorm, x: Tensor, share: Tensor) -> Tensor:
    """Normalise by mean and variance over all ranks; gradients flow through both (Ioffe and Szegedy, 2015)."""
    dims = [0, *range(2, x.dim())]
    shape = [1, -1] + [1] * (x.dim() - 2)
    values = x.float()
    local = torch.cat((values.sum(dims), torch.full((1,), float(x.numel() // x.shape[1]), device=x.device))) * share
    total = _total(local)
    count = total[-1:].detach()
    mean = total[:-1] / count
    centred = values - mean.view(shape)
    # The second pass over centred values is exact where the mean is large; so are the variances of one process.
    variance = _total(centred.square().sum(dims) * share) / count
    if module.track_running_stats and module.running_mean is not None and module.running_var is not None:
        with torch.no_grad():
            assert module.momentum is not None
            module.running_mean.lerp_(mean, module.momentum)
            module.running_var.lerp_(variance * (count / (count - 1)), module.momentum)
            if module.num_batches_tracked is not None:
                module.num_batches_tracked.add_(1)
    result = centred * torch.rsqrt(variance + module.eps).view(shape)
    if module.affine:
        result = result * module.weight.view(shape) + module.bias.view(shape)
    return result.to(x.dtype)
