"""The runs in a folder, wherever below it they lie."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from shards.storage.remote.address import address_in
from trainer.errors import TrainError
from trainer.history.record import RunRecord
from trainer.runs import folder as run_folder

_CONFIGS: Final = (run_folder.CONFIG, run_folder.OLD_CONFIG)


def find(folder: Path, report: Callable[[str], None]) -> list[RunRecord]:
    """Return the runs in a folder, or the run that it is, by the order of their paths.

    Args:
        folder: of the runs; a link to a run is that run, links to other folders are not followed.
        report: takes a line for each folder that looks like a run and cannot be read.

    Raises:
        TrainError: there is no such folder.
    """
    if not folder.is_dir():
        if address := address_in(folder):
            raise TrainError(f"{address} is an address, expected a folder of runs on this machine")
        fact = "is no folder" if folder.exists() else "does not exist"
        raise TrainError(f"{folder} {fact}, expected a folder of runs")
    found = []
    for path in _runs(folder):
        try:
            record = RunRecord.read(path)
        except TrainError as err:
            report(f"left out: {err}")
            continue
        except OSError as err:
            report(f"left out: {err.filename or path}: {err.strerror or err}")
            continue
        found.append(record)
    return found


def _runs(folder: Path) -> list[Path]:
    """Return the folders that look like runs, each once; below them there are no others."""
    found: dict[Path, Path] = {}
    links = []
    for name, folders, files in os.walk(folder):
        path = Path(name)
        if not set(_CONFIGS).isdisjoint(files):
            folders.clear()
            found[path.resolve()] = path
        links += [path / each for each in folders if (path / each).is_symlink()]
    for link in sorted(links):
        if any(os.path.isfile(link / name) for name in _CONFIGS):
            found.setdefault(link.resolve(), link)
    return sorted(found.values())
