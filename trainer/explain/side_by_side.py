"""Batches that are computed side by side, a core each.

Threads that share a small batch wait for each other by spinning, so that on cores that do other work, too, they take
several times the processor time.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import TypeVar

import torch

from shards.runtime.cores import num_cores
from shards.runtime.threads import Threads
from trainer.inference.threads import one_thread_a_batch

T = TypeVar("T")
R = TypeVar("R")


def cores(device: torch.device) -> int:
    """Return how many batches are computed at a time: one on a GPU, one a core on a CPU."""
    return 1 if device.type != "cpu" else num_cores()


def side_by_side(work: Callable[[T], R], items: Sequence[T], device: torch.device) -> list[R]:
    """Return the results of work on each item, in their order; the first error of one is raised.

    Args:
        work: may be called by several threads at a time; gradients are on unless it turns them off.
        items: what it takes.
        device: that it computes on.
    """
    found: dict[int, R] = {}

    def some(numbers: Iterator[int]) -> None:
        for number in numbers:
            found[number] = work(items[number])

    with one_thread_a_batch(), closing(Threads(cores(device), "explain")) as threads:
        threads.run(some, range(len(items)))
    return [found[number] for number in range(len(items))]
