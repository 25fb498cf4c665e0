"""The precision of the features, and how the network is called in it."""

from contextlib import AbstractContextManager, nullcontext

import torch

from trainer.definition.choices import OptimizerName, Precision
from trainer.errors import TrainError

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def resolve(precision: Precision, device: torch.device) -> Precision:
    """Return the precision of the features: what was asked for; `auto` is bf16 on a GPU and fp32 on a CPU.

    CPUs without matrix units for bfloat16 are faster in float32.

    Raises:
        TrainError: the device cannot compute in it in any reasonable time.
    """
    if precision == "fp16" and device.type == "cpu":
        # torch emulates convolutions in float16 there: a step takes minutes, in which not even Ctrl-C is heard.
        raise TrainError("precision fp16 needs a GPU, expected bf16 or fp32 on a CPU")
    if precision != "auto":
        return precision
    return "bf16" if device.type == "cuda" else "fp32"


def why_steps_wait(precision: Precision, optimizer: OptimizerName) -> str | None:
    """Return what a user should know of a run whose steps wait for the GPU; None if they do not.

    torch's scaler of losses hands its flag to fused optimisers on the device, and reads it on the host for all others.
    """
    if precision == "fp16" and optimizer == "lamb":
        return "fp16 with lamb: every step waits for the GPU; `precision=bf16` does not"
    return None


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[None]:
    """Return the context in which a model is to be called."""
    dtype = _DTYPES[resolve(precision, device)]
    return nullcontext() if dtype is torch.float32 else torch.autocast(device.type, dtype)


def seek_convolutions(device: torch.device, *, for_these: bool) -> None:
    """Say whether cuDNN is to try all convolutions on the shapes that come next, and keep the fastest.

    It pays for shapes that come in nearly every step; for that of an epoch's last batch it takes longer than the step.
    """
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = for_these
