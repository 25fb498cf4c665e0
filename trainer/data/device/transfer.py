"""Small arrays on their way to the device."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_ALIGNMENT: Final = 64
"""Bytes: arrays that are sent together begin at multiples of it, so any of them can be read in wide words."""


def to_device(array: NDArray[np.generic], device: torch.device) -> Tensor:
    """Return a copy of an array on a device, without waiting for the device.

    The copy to a GPU is ordered on the current stream. The array may be overwritten at once.
    """
    tensor = torch.tensor(array)
    # Pageable memory would make the host wait; torch keeps the pinned block until the copy is done.
    return tensor if device.type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)


def send(arrays: Mapping[str, NDArray[Any]], device: torch.device) -> dict[str, Tensor]:
    """Return copies of arrays on a device, by name, as `to_device` does, but by one transfer for all of them.

    The tensors are C-contiguous, whatever the arrays are, and share one storage.
    """
    begins, size = {}, 0
    for name, array in arrays.items():
        begins[name] = size
        size += -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT
    memory = np.zeros(size, np.uint8)
    for name, array in arrays.items():
        place = memory[begins[name] : begins[name] + array.nbytes]
        place.view(array.dtype).reshape(array.shape)[...] = array
    there = to_device(memory, device)
    return {
        name: there[begins[name] : begins[name] + array.nbytes]
        .view(torch.from_numpy(np.empty(0, array.dtype)).dtype)
        .view(array.shape)
        for name, array in arrays.items()
    }
