"""Host memory of batches, used again and again: fresh pages cost as much time as a tenth of the decoding."""

import threading
import weakref

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shards import RECORD_VALUES


class Buffers:
    """Buffers of one size, made when none is free.

    How many there are is limited by the channels that the batches go through, and by what a consumer keeps.
    """

    def __init__(self, num_patches: int, *, pin: bool) -> None:
        """Say what to make.

        Args:
            num_patches: records that a buffer has room for.
            pin: take page-locked memory, which is copied to a GPU without a detour.
        """
        self._num_patches, self._pin = num_patches, pin
        self._free: list[NDArray[np.uint16]] = []
        self._lock = threading.Lock()

    def take(self) -> NDArray[np.uint16]:
        """Return a buffer, (num_patches, 80000) uint16, with whatever it holds."""
        with self._lock:
            if self._free:
                return self._free.pop()
        shape = (self._num_patches, RECORD_VALUES)
        if self._pin:
            return torch.empty(shape, dtype=torch.uint16, pin_memory=True).numpy()
        return np.empty(shape, np.uint16)  # In huge pages, where the system allows it: torch does not ask for them.

    def give(self, buffer: NDArray[np.uint16]) -> None:
        """Take a buffer back."""
        with self._lock:
            self._free.append(buffer)

    def lend(self, buffer: NDArray[np.uint16], num_patches: int) -> Tensor:
        """Return the first records of a buffer as a tensor; the buffer comes back when nobody holds the tensor."""
        view = buffer[:num_patches]
        # The tensor's storage holds on to `view`, also where only a part of the tensor is left.
        weakref.finalize(view, self.give, buffer).atexit = False
        return torch.from_numpy(view)
