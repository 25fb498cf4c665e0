"""Messages for when memory runs out."""

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch

from trainer.errors import OutOfMemory
from trainer.runtime.out_of_memory import out_of_memory_reported


@pytest.mark.parametrize(
    "take", [lambda: torch.empty(2**50), lambda: np.empty(2**60, np.uint8)], ids=["torch", "numpy"]
)
def test_a_lack_of_memory_says_what_to_try(take: Callable[[], object]) -> None:
    """A user reads about an allocator in C++, and not which option to change."""
    message = "the host has not enough memory for a batch size of 512: try `batch_size=256`, or `accumulate=4` "
    with pytest.raises(OutOfMemory, match=message), out_of_memory_reported(512, accumulate=2):
        take()


@pytest.mark.parametrize(
    ("text", "where"),
    [
        # As DALI, torch, cuBLAS, cuDNN and Triton have them.
        ("Can't allocate 81920000 bytes on host.", "host"),
        ("Can't allocate 81920000 bytes on device 0.", "GPU"),
        ("Error in GPU operator `nvidia.dali.fn.resize`,\nencountered:\n\nCUDA allocation failed", "GPU"),
        (
            "CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation'",
            "GPU, or the host for page-locked memory,",
        ),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", "GPU"),
        ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", "GPU"),
        ("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED", "GPU"),
        ("Triton Error [CUDA]: out of memory", "GPU"),
        ("CUDA driver error: out of memory", "GPU, or the host for page-locked memory,"),
    ],
)
def test_a_lack_of_memory_is_known_by_its_text(text: str, where: str) -> None:
    """A lack of memory in DALI, or of page-locked memory, ends in a traceback."""
    with pytest.raises(OutOfMemory, match=rf"the {where}.* has not enough memory"), out_of_memory_reported(512):
        raise RuntimeError(text)


_DALI = """
import os, resource
import numpy as np
from nvidia.dali import fn, pipeline_def, types
from trainer.runtime.out_of_memory import out_of_memory_reported

@pipeline_def
def padded():
    values = fn.external_source(source=lambda: np.zeros((1, 4), np.float32), batch=True, ndim=1, dtype=types.FLOAT)
    return fn.pad(values, axes=[0], shape=[2**29])

pipeline = padded(batch_size=1, num_threads=1, device_id=None, exec_dynamic=True)
pipeline.build()
used = int(open("/proc/self/statm").read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, -1))
with out_of_memory_reported(512):
    pipeline.run()
"""


def test_a_lack_of_memory_in_dali() -> None:
    """DALI says it in other words than were looked for."""
    done = subprocess.run([sys.executable, "-c", _DALI], capture_output=True, text=True, timeout=120, check=False)
    assert "OutOfMemory: the host has not enough memory for a batch size of 512" in done.stderr.splitlines()[-1]


def test_other_errors_stay_what_they_are() -> None:
    """A defect is taken for a lack of memory."""
    with pytest.raises(RuntimeError, match="illegal"), out_of_memory_reported(512):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
    with pytest.raises(RuntimeError, match="shape"), out_of_memory_reported(512):
        torch.zeros(2, 3) @ torch.zeros(2, 3)


@pytest.mark.gpu
def test_a_lack_of_memory_on_a_gpu() -> None:
    """A user reads about an allocator in C++, and not which option to change."""
    with pytest.raises(OutOfMemory, match="the GPU has not enough memory"), out_of_memory_reported(512):
        torch.empty(2**50, device="cuda")
