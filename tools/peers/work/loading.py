"""A tuned torch DataLoader, for the systems that are data sets."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import get_worker_info

from tools.peers.registry import Layout
from tools.peers.work.job import Job
from tools.peers.work.pixels import DTYPES, SHAPES, prepare

SETTINGS = "the DataLoader of loading.py"


class Collate:
    """Makes a batch of samples, in a worker."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def __call__(self, samples: Sequence[tuple[Any, NDArray[np.uint16]]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the numbers (n,) and pixels of n samples (number, record)."""
        batch = _empty((len(samples), *SHAPES[self._layout]), getattr(torch, DTYPES[self._layout]))
        rows = batch.numpy()
        if self._layout == "native":
            for row, (_, record) in zip(rows, samples, strict=True):
                row[:] = record
        else:
            turns = torch.randint(2, (len(samples), 2), dtype=torch.bool).tolist()
            for row, (_, record), (left_right, up_down) in zip(rows, samples, turns, strict=True):
                prepare(record, row, left_right=left_right, up_down=up_down)
        return torch.tensor([int(number) for number, _ in samples]), batch


def loader_options(job: Job) -> dict[str, Any]:
    """Return the arguments of a DataLoader over single samples."""
    return {"batch_size": job.batch_size, "collate_fn": Collate(job.layout), **worker_options(job)}


def worker_options(job: Job) -> dict[str, Any]:
    """Return the arguments that say how a DataLoader's workers run."""
    return {
        "num_workers": job.workers,
        "persistent_workers": True,
        "prefetch_factor": 2,
        "pin_memory": False,
        "multiprocessing_context": "fork",
    }


def _empty(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Return a tensor; in a worker it lies in shared memory, as in torch's `default_collate`, which saves a copy."""
    if get_worker_info() is None:
        return torch.empty(shape, dtype=dtype)
    num_bytes = int(np.prod(shape)) * dtype.itemsize
    shared = torch.UntypedStorage._new_shared(num_bytes)  # type: ignore[no-untyped-call]
    return torch.empty(0, dtype=dtype).set_(shared).view(shape)
