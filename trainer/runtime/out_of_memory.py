"""Messages for when memory runs out."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch

from trainer.errors import OutOfMemory

_HOST: Final = "host"
_GPU: Final = "GPU"
_EITHER: Final = "GPU, or the host for page-locked memory,"

_TEXTS: Final = (
    # torch's allocator for the host, which has no class of error of its own.
    (re.compile(r"can't allocate memory"), _HOST),
    # DALI's `CUDABadAlloc` in its core/cuda_error.h, and what it says of the C++ library's allocator.
    (re.compile(r"Can't allocate \d+ bytes on host"), _HOST),
    (re.compile(r"Can't allocate \d+ bytes on device"), _GPU),
    (re.compile(r"CUDA allocation failed"), _GPU),
    (re.compile(r"std::bad_alloc"), _HOST),
    # Libraries that take memory beside torch's allocator: handles, workspaces, code of kernels.
    (re.compile(r"CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_(INTERNAL_ERROR_DEVICE_)?ALLOC(ATION)?_FAILED"), _GPU),
    (re.compile(r"Triton Error \[CUDA\]: out of memory"), _GPU),
    # What the driver says through torch, of `cudaHostAlloc` and of all that is not its allocator's on the device.
    (re.compile(r"CUDA (driver )?error: out of memory"), _EITHER),
)
"""Texts of a RuntimeError that is a lack of memory, and where it was lacking."""


@contextmanager
def out_of_memory_reported(batch_size: int, accumulate: int | None = None) -> Iterator[None]:
    """Turn a lack of memory, on the device or the host, into an error that says what to try.

    Args:
        batch_size: patches of a batch.
        accumulate: parts that a training step is computed in; None where nothing is trained.

    Raises:
        OutOfMemory: in place of what torch, DALI or NumPy raise.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as err:
        where = where_lacking(err)
        if where is None:
            raise
        raise _error(where, batch_size, accumulate) from err


def where_lacking(err: Exception) -> str | None:
    """Return where memory was lacking; None if that is not what an error says."""
    if isinstance(err, torch.OutOfMemoryError):
        return _GPU
    if isinstance(err, MemoryError):
        return _HOST
    return next((where for text, where in _TEXTS if text.search(str(err))), None)


def _error(where: str, batch_size: int, accumulate: int | None) -> OutOfMemory:
    tries = [f"`batch_size={max(1, batch_size // 2)}`", "`cache=none` if records are kept in memory"]
    if accumulate is not None:
        tries.insert(1, f"`accumulate={2 * accumulate}` (the same steps, computed in smaller parts)")
    return OutOfMemory(f"the {where} has not enough memory for a batch size of {batch_size}: try {', or '.join(tries)}")
