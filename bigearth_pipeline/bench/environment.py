"""The machine that a measurement was made on, and the versions of what was measured."""

import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from shards.runtime.cores import num_cores
from shards.runtime.filesystem import file_system

if TYPE_CHECKING:
    import torch

_PACKAGES: Final = (
    "bigearth-pipeline",
    "dask",
    "distributed",
    "numba",
    "numcodecs",
    "numpy",
    "nvidia-dali-cuda120",
    "nvidia-dali-cuda130",
    "pyarrow",
    "rasterio",
    "timm",
    "torch",
    "torchmetrics",
    "webdataset",
)


def describe_environment(paths: Mapping[str, Path], device: "torch.device | None" = None) -> dict[str, Any]:
    """Return date, machine and versions as JSON values.

    Args:
        paths: by name; the type of the file system of each is returned as `<name>_file_system`.
        device: of the batches, whose name is returned too; None where there are none.
    """
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu_model(),
        "cores": num_cores(),
        **({} if device is None else {"device": _device_name(device)}),
        "python": platform.python_version(),
        "versions": _versions(),
        **{f"{name}_file_system": file_system(path) or "unknown" for name, path in paths.items()},
    }


def _versions() -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _device_name(device: "torch.device") -> str:
    if device.type != "cuda":
        return "cpu"
    # Here, for a benchmark of a build needs no torch.
    import torch

    return torch.cuda.get_device_name(device)


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
