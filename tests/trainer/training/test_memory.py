"""What is said when memory runs out."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from trainer.errors import OutOfMemory
from trainer.training.memory import out_of_memory_reported


@pytest.mark.parametrize(
    "take", [lambda: torch.empty(2**50), lambda: np.empty(2**60, np.uint8)], ids=["torch", "numpy"]
)
def test_a_lack_of_memory_says_what_to_try(take: Callable[[], object]) -> None:
    """A user is told of an allocator in C++, and not which option to change."""
    message = "the host has not enough memory for a batch size of 512: try --batch-size 256, or --accumulate 4 "
    with pytest.raises(OutOfMemory, match=message), out_of_memory_reported(512, accumulate=2):
        take()


def test_other_errors_stay_what_they_are() -> None:
    """A defect is taken for a lack of memory."""
    with pytest.raises(RuntimeError, match="shape"), out_of_memory_reported(512):
        torch.zeros(2, 3) @ torch.zeros(2, 3)


@pytest.mark.gpu
def test_a_lack_of_memory_on_a_gpu() -> None:
    """A user is told of an allocator in C++, and not which option to change."""
    with pytest.raises(OutOfMemory, match="the GPU has not enough memory"), out_of_memory_reported(512):
        torch.empty(2**50, device="cuda")
