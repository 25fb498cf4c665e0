"""Small arrays on their way to the device."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_device(array: NDArray[np.generic], device: torch.device) -> Tensor:
    """Return a copy of an array on a device, without waiting for the device.

    The copy to a GPU is ordered on the current stream. The array may be overwritten at once.
    """
    tensor = torch.tensor(array)
    # Pageable memory would make the host wait; torch keeps the pinned block until the copy is done.
    return tensor if device.type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)
