"""The folder of a run, and the files in it.

- `config.toml`: the options of the run, which repeat it by `bep train --config`; runs of before have `config.json`;
- `description.json`: all else that the result depends on: model, order, patches, normalisation, versions;
- `statistics.json`: a copy of the statistics that pixels are normalised by;
- `metrics.jsonl`: a line for each epoch;
- `events.out.tfevents.*`: the same and the steps between, for TensorBoard;
- `checkpoints/last.pt`: where the run is, to resume it; `checkpoints/best.pt`: the best weights so far;
  `checkpoints/epoch-*.pt`: those of the best epochs, where they are kept, see `trainer.runs.kept`;
- `metrics-<split>.json`: results on the patches that the run had of a split, `metrics-<split>-<digest>.json` on others;
  see `trainer.runs.results`;
- `predictions-<split>.parquet`, `predictions-<split>-<digest>.parquet`: the predictions that these results follow from;
  see `trainer.runs.predictions`;
- `logger.json`: by which ids the loggers know the run that it has beside TensorBoard; `wandb/`: the files of one;
- `.lock`: held by the process that trains, and gone when it ends.
"""

import json
import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from shards.storage.atomic import atomic_write, temporary_of
from shards.storage.lock import exclusive
from shards.storage.safe_open import open_regular_file, read_regular
from trainer.errors import TrainError

CONFIG: Final = "config.toml"
OLD_CONFIG: Final = "config.json"
"""Options and description in one, as runs had them before there were tables of options."""
DESCRIPTION: Final = "description.json"
STATISTICS: Final = "statistics.json"
METRICS: Final = "metrics.jsonl"
LAST: Final = Path("checkpoints/last.pt")
BEST: Final = Path("checkpoints/best.pt")
LOGGER: Final = "logger.json"
"""Ids that its loggers know the run by, so that a resumed run continues there."""
WANDB: Final = "wandb"
"""Folder that Weights & Biases makes in that of the run."""
EVENTS: Final = "events.out.tfevents."
"""Beginning of the names of TensorBoard's files."""
LOCK: Final = ".lock"
MOST_JSON_BYTES: Final = 64 << 20
MOST_LINE_BYTES: Final = 1 << 20
NON_FINITE: Final = Path("checkpoints/non-finite.pt")

_OURS: Final = re.compile(
    r"config\.toml|(config|description|statistics|logger|metrics-.*|non-finite)\.json|metrics\.jsonl|predictions-.*\.parquet|(last|best|non-finite|epoch-.*)\.pt"
)
"""Names that a temporary file of a run may be going to have."""
_OLD_TEMPORARY: Final = re.compile(r"\.(.+)\.\d+\.part")
"""Names of temporary files of the first version."""

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


def split_predictions(split: str, digest: str = "") -> str:
    """Return the name of the file with the predictions on a split, or on the selection of a digest."""
    return f"predictions-{split}{'-' if digest else ''}{digest}.parquet"


def config_path(folder: Path) -> Path:
    """Return the file with the options of a run: `config.json` in the folder of an old one."""
    return folder / (OLD_CONFIG if (folder / OLD_CONFIG).exists() and not (folder / CONFIG).exists() else CONFIG)


def description_path(folder: Path) -> Path:
    """Return the file that describes a run: `config.json` in the folder of an old one, whatever else it has by now."""
    path = folder / DESCRIPTION
    return folder / OLD_CONFIG if (folder / OLD_CONFIG).exists() and not path.exists() else path


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder of a run, which exists, while the block runs.

    Raises:
        InUse: another process trains there.
        OSError: the folder cannot be written to.
    """
    with exclusive(folder / LOCK, f"{folder} is in use by another training"):
        yield


@contextmanager
def written(folder: Path, path: Path) -> Iterator[None]:
    """Say of what cannot be written how to go on: the run can be resumed if a state was saved before.

    Raises:
        TrainError: in place of an error of the operating system.
    """
    try:
        yield
    except OSError as err:
        if not folder.is_dir():
            raise TrainError(f"{path} cannot be written: the folder of the run was removed meanwhile") from err
        if has_steps(folder):
            saved, way = "what was saved before is whole", f"resume with `resume={folder}`"
        else:
            saved, way = "no state of the run was saved before", "start it again"
        raise TrainError(
            f"{path} cannot be written: {err.strerror or err}; {saved}: mend that (if the disk is full, make room) and "
            f"{way}"
        ) from err


def has_steps(folder: Path) -> bool:
    """Return whether something of a run was saved after a step of it; True where that cannot be told."""
    from trainer.runs import checksum  # It needs torch, which reading runs does not.

    if (folder / BEST).exists():
        return True
    try:
        last = checksum.read(folder / LAST)
    except FileNotFoundError:
        return False
    except (TrainError, OSError):
        return True
    return bool(last.get("epoch") or last.get("step"))


def remove_temporaries(folder: Path) -> None:
    """Remove what killed processes left of the files of a run, and nothing else; call it where the folder is locked."""
    for path in [*folder.glob(".*.part"), *(folder / LAST).parent.glob(".*.part")]:
        old = _OLD_TEMPORARY.fullmatch(path.name)
        name = temporary_of(path.name) or (old[1] if old else None)
        if name is not None and _OURS.fullmatch(name) and path.is_file() and not path.is_symlink():
            path.unlink(missing_ok=True)


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write values as a JSON file, whole or not at all."""
    with atomic_write(path) as file:
        file.write(json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n")


def read_json(path: Path) -> dict[str, Any]:
    """Return the object that a JSON file of a run holds.

    Raises:
        TrainError: it is no JSON, holds something else, or a number that JSON has not (NaN, Infinity).
        OSError: it cannot be read, is no regular file, or is longer than 64 MiB.
    """
    content = read_regular(path, MOST_JSON_BYTES)
    try:
        values = parse(content)
    except ValueError as err:
        raise TrainError(f"{path} is no JSON file of a run: {err}") from err
    return values


def parse(content: bytes) -> dict[str, Any]:
    """Return the object that a JSON text holds.

    Raises:
        ValueError: it is no JSON, is nested too deeply, holds something else, or a number that JSON has not.
    """

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no number of JSON")

    try:
        values = json.loads(content, parse_constant=refuse)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(values, dict):
        raise ValueError(f"it holds {type(values).__name__}, expected an object")
    return values


def append_line(path: Path, values: dict[str, Any]) -> None:
    """Append values as one line of JSON, durably."""
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(values, ensure_ascii=False, allow_nan=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def keep_epochs(path: Path, num_epochs: int) -> None:
    """Drop the lines after the first epochs: what a run wrote after the state that it is resumed from.

    A file that is absent stays so: the reports of the epochs before are lost then, and the run continues.

    Raises:
        TrainError: a line that is kept is no report of its epoch.
        OSError: the file cannot be read or written, or is no regular file.
    """
    try:
        file = open_regular_file(path)
    except FileNotFoundError:
        return
    kept: list[bytes] = []
    with file:
        # A report has about 7 kB.
        while line := file.readline(MOST_LINE_BYTES):
            number, reason = _epoch_of(line)
            if number is None and file.read(1) == b"":
                # Cut off when it was written, so after the state was saved: if it should be there, it is missed below.
                break
            if number is None or (kept and number != _epoch_of(kept[-1])[0] + 1):  # type: ignore[operator]
                what = reason or f"it is of epoch {number}, expected the one after that of the line before"
                raise _damaged(path, len(kept) + 1, what)
            if number > num_epochs:
                break
            kept.append(line)
    last = _epoch_of(kept[-1])[0] if kept else 0
    if last != num_epochs and (kept or num_epochs):
        raise _damaged(path, len(kept) + 1, f"expected the report of epoch {(last or 0) + 1}")
    with atomic_write(path) as new:
        new.writelines(kept)


def _epoch_of(line: bytes) -> tuple[int | None, str]:
    """Return the epoch that a line reports on, or None and the reason why it does not."""
    if not line.endswith(b"\n"):
        return None, "it does not end"
    try:
        epoch = parse(line).get("epoch")
    except ValueError as err:
        return None, str(err)
    if type(epoch) is not int or epoch < 1:
        return None, f"it has the epoch {epoch!r:.80}"
    return epoch, ""


def _damaged(path: Path, number: int, reason: str) -> TrainError:
    return TrainError(
        f"{path} is damaged: line {number}: {reason}; bring the file back from a copy, or remove it to go on without "
        "the reports of the epochs before"
    )


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a result depends on; absent ones are left out."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
