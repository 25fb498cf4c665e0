"""What a measurement was made on."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from trainer.data.file_system import MOUNTS, file_system
from trainer.runs.folder import versions


def describe_environment(store: Path, device: torch.device) -> dict[str, Any]:
    """Return date, machine and versions, and the type of the file system that a store lies on."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "versions": versions(),
        "store_file_system": file_system(store.resolve(), MOUNTS.read_bytes()),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
