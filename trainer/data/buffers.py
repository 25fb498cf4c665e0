"""Host memory of batches, used again and again: fresh pages cost as much time as a tenth of the decoding."""

import math
import threading
import weakref
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shards.forks import renew_in_children


class Buffers:
    """Buffers of one size, made when none is free.

    How many there are is limited by the channels that the batches go through, and by what a consumer keeps.
    """

    def __init__(self, shape: tuple[int, ...], dtype: type[np.generic], *, pin: bool = False) -> None:
        """Say what to make.

        Args:
            shape: of a buffer; the first axis is that of the patches.
            dtype: of its values.
            pin: take page-locked memory, which is copied to a GPU without a detour.
        """
        self._shape, self._dtype, self._pin = shape, np.dtype(dtype), pin
        self._free: list[NDArray[Any]] = []
        self.renew_after_fork()
        renew_in_children(self)

    def renew_after_fork(self) -> None:
        """See `shards.forks`."""
        self._lock = threading.Lock()

    def take(self) -> NDArray[Any]:
        """Return a buffer with whatever it holds."""
        with self._lock:
            if self._free:
                return self._free.pop()
        if self._pin:
            num_bytes = math.prod(self._shape) * self._dtype.itemsize
            memory = torch.empty(num_bytes, dtype=torch.uint8, pin_memory=True).numpy()
            return memory.view(self._dtype).reshape(self._shape)
        return np.empty(self._shape, self._dtype)  # In huge pages, where the system allows it: torch asks for none.

    def give(self, buffer: NDArray[Any]) -> None:
        """Take a buffer back."""
        with self._lock:
            self._free.append(buffer)

    def lend(self, buffer: NDArray[Any], num_patches: int) -> Tensor:
        """Return the first patches of a buffer as a tensor; the buffer comes back when nobody holds the tensor."""
        view = buffer[:num_patches]
        # The tensor's storage holds on to `view`, also where only a part of the tensor is left.
        weakref.finalize(view, self.give, buffer).atexit = False
        return torch.from_numpy(view)
