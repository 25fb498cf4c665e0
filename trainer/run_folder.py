"""The folder of a run: `config.json`, `metrics.jsonl`, `checkpoint.pt` and, if asked for, `metrics-test.json`."""

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from shards.durable import atomic_write
from trainer.errors import RunExists

CHECKPOINT: Final = "checkpoint.pt"
CONFIG: Final = "config.json"
METRICS: Final = "metrics.jsonl"
TEST_METRICS: Final = "metrics-test.json"

_PACKAGES: Final = (
    "bigearth-pipeline",
    "numpy",
    "torch",
    "timm",
    "torchmetrics",
    "nvidia-dali-cuda130",
    "nvidia-dali-cuda120",
)


def check_unused(folder: Path) -> None:
    """Check that a run may begin in a folder; what a run left that ended before its first epoch did is no obstacle.

    Raises:
        RunExists: it holds something else.
        OSError: it is no folder, or not readable.
    """
    if folder.exists() and any(path.name != CONFIG for path in folder.iterdir()):
        raise RunExists(f"{folder} is not empty: it may hold another run; name a new folder")


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write values as a JSON file, whole or not at all."""
    with atomic_write(path) as file:
        file.write(json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n")


def append_line(path: Path, values: dict[str, Any]) -> None:
    """Append values as one line of JSON, durably."""
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(values, ensure_ascii=False, allow_nan=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a result depends on; absent ones are left out."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
