"""Host memory of batches, used again and again: fresh pages cost as much time as a tenth of the decoding."""

import math
import threading
import weakref
from collections import deque
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shards.runtime.forks import renew_in_children

PENDING: Final = 2
"""Buffers that the device may read before one of them is waited for: with fewer, a fast reader waits for each copy."""


class Buffers:
    """Buffers of one size, made when none is free.

    How many there are is limited by the channels that the batches go through, by what a consumer keeps, and by
    `PENDING`.
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
        # Events of one stream complete in the order in which they are recorded: the first one is waited for.
        self._pending: deque[tuple[NDArray[Any], torch.cuda.Event]] = deque()
        self.renew_after_fork()
        renew_in_children(self)

    def renew_after_fork(self) -> None:
        """See `shards.runtime.forks`."""
        self._lock = threading.Lock()

    def take(self) -> NDArray[Any]:
        """Return a buffer of arbitrary content; wait for the device if it still reads many."""
        with self._lock:
            while self._pending and self._pending[0][1].query():
                self._free.append(self._pending.popleft()[0])
            if self._free:
                return self._free.pop()
            oldest = self._pending.popleft() if len(self._pending) >= PENDING else None
        if oldest is not None:
            buffer, done = oldest
            # Without the lock, which the preparing thread needs to give a buffer back.
            done.synchronize()
            return buffer
        if self._pin:
            num_bytes = math.prod(self._shape) * self._dtype.itemsize
            memory = torch.empty(num_bytes, dtype=torch.uint8, pin_memory=True).numpy()
            return memory.view(self._dtype).reshape(self._shape)
        return np.empty(self._shape, self._dtype)  # In huge pages, where the system allows it: torch asks for none.

    def give(self, buffer: NDArray[Any], done: torch.cuda.Event | None = None) -> None:
        """Take a buffer back, without waiting.

        Args:
            buffer: from `take`.
            done: complete once the device does not read the buffer any more; None if it does not now.
        """
        with self._lock:
            if done is None:
                self._free.append(buffer)
            else:
                self._pending.append((buffer, done))

    def lend(self, buffer: NDArray[Any], num_patches: int) -> Tensor:
        """Return the first patches of a buffer as a tensor; the buffer comes back when nobody holds the tensor."""
        view = buffer[:num_patches]
        # The tensor's storage holds on to `view`, also where only a part of the tensor is left.
        weakref.finalize(view, self.give, buffer).atexit = False
        return torch.from_numpy(view)
