"""The folder of a run, and the files in it.

- `config.json`: all that the result depends on;
- `statistics.json`: a copy of the statistics that pixels are normalised by;
- `metrics.jsonl`: a line for each epoch;
- `events.out.tfevents.*`: the same and the steps between, for TensorBoard;
- `checkpoints/last.pt`: where the run is, to resume it; `checkpoints/best.pt`: the best weights so far;
- `metrics-<split>.json`: results on the patches that the run had of a split, `metrics-<split>-<digest>.json` on others;
  see `trainer.training.results`.
"""

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from shards.durable import atomic_write
from trainer.errors import RunExists

CONFIG: Final = "config.json"
STATISTICS: Final = "statistics.json"
METRICS: Final = "metrics.jsonl"
LAST: Final = Path("checkpoints/last.pt")
BEST: Final = Path("checkpoints/best.pt")
NON_FINITE: Final = Path("checkpoints/non-finite.pt")

_PACKAGES: Final = (
    "bigearth-pipeline",
    "numpy",
    "numba",
    "numcodecs",
    "torch",
    "timm",
    "torchmetrics",
    "nvidia-dali-cuda130",
    "nvidia-dali-cuda120",
)


def split_metrics(split: str, digest: str = "") -> str:
    """Return the name of the file with the results on a split, or on the selection of a digest."""
    return f"metrics-{split}{'-' if digest else ''}{digest}.json"


def check_unused(folder: Path) -> None:
    """Check that a run may begin in a folder.

    Raises:
        RunExists: it holds something.
        OSError: it is no folder, or not readable.
    """
    if not folder.exists() or not any(folder.iterdir()):
        return
    if (folder / LAST).exists():
        raise RunExists(f"{folder} holds a run; go on with it by --resume {folder}, or name a new folder")
    raise RunExists(f"{folder} is not empty; name a new folder")


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


def keep_epochs(path: Path, num_epochs: int) -> None:
    """Drop the lines behind the first epochs: what a run wrote after the state that it is resumed from."""
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    with atomic_write(path) as file:
        file.writelines(lines[:num_epochs])


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a result depends on; absent ones are left out."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
