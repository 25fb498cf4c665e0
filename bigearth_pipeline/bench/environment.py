"""What a measurement was made on."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

_PACKAGES: Final = ("numpy", "numcodecs", "rasterio", "webdataset", "dask", "distributed", "pyarrow")


def describe_environment(paths: dict[str, Path]) -> dict[str, Any]:
    """Return date, machine and versions, and the file system type of each of some paths as `<name>_file_system`."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _PACKAGES},
        **{f"{name}_file_system": _file_system(path) for name, path in paths.items()},
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _file_system(path: Path) -> str:
    """Return the type of the file system that holds a path, such as `tmpfs`."""
    resolved = str(path.resolve())
    kind, longest = "unknown", -1
    for line in Path("/proc/mounts").read_text().splitlines():
        _, point, name = line.split()[:3]
        if (resolved == point or resolved.startswith(point.rstrip("/") + "/")) and len(point) > longest:
            kind, longest = name, len(point)
    return kind
