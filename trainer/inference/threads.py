"""Threads of torch while batches are predicted in parallel."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread_a_batch() -> Iterator[None]:
    """Let each batch be computed by the thread that asks for it alone, while the block runs.

    A convolution that is split over threads may add its terms in another order, so that the last bits depend on the
    number of threads. Batches that run side by side, each in one thread, are as fast and do not.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
