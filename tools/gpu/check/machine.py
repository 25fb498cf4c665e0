"""Description of the machine of the check, and the folder for its data."""

import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

import psutil

from bigearth_pipeline.bench.environment import describe_environment
from shards.runtime.memory import available_bytes

BYTES_PER_PATCH: Final = 700_000
"""Of band files, whose pages are not full, both stores, and what runs save."""
_TMPFS: Final = Path("/dev/shm")
_SHARE_OF_MEMORY: Final = 0.5
"""Share of the free memory that data may take: the rest is for records that are kept in memory and for workers."""


def choose_work(patches: int) -> Path:
    """Return the folder that is to hold the data: the tmpfs if it has room, else the one for temporary files."""
    needed = patches * BYTES_PER_PATCH
    if not _TMPFS.is_dir():
        return Path(tempfile.gettempdir())
    room = min(shutil.disk_usage(_TMPFS).free, _SHARE_OF_MEMORY * available_bytes())
    return _TMPFS if needed <= room else Path(tempfile.gettempdir())


def describe(work: Path) -> dict[str, Any]:
    """Return date, processor, cores, memory, GPU, driver, CUDA and versions as JSON values."""
    # torch takes seconds to import.
    import torch
    from torch.backends import cudnn

    return describe_environment({"work": work}) | {
        "kernel": platform.release(),
        "memory_bytes": psutil.virtual_memory().total,
        "available_bytes": available_bytes(),
        "gpus": _gpus(),
        "cuda": torch.version.cuda,
        "cudnn": cudnn.version(),  # type: ignore[no-untyped-call]
    }


def _gpus() -> list[dict[str, str]]:
    """Return what the driver says of the GPUs; asking it, and not torch, takes no memory of theirs."""
    fields = ("name", "driver_version", "memory.total", "power.limit", "clocks.max.sm")
    command = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader"]
    try:
        printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [dict(zip(fields, line.split(", "), strict=False)) for line in printed.splitlines()]
