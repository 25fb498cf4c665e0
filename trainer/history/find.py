"""The runs in a folder, wherever below it they lie."""

import os
from collections.abc import Callable
from pathlib import Path

from shards.storage.remote.address import address_in
from trainer.errors import TrainError
from trainer.history.record import RunRecord
from trainer.runs import folder as run_folder


def find(folder: Path, report: Callable[[str], None]) -> list[RunRecord]:
    """Return the runs in a folder, or the run that it is, by the order of their paths.

    Args:
        folder: of the runs; links to folders are not followed.
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
    for name, folders, files in os.walk(folder):
        folders.sort()
        path = Path(name)
        if run_folder.CONFIG not in files and run_folder.OLD_CONFIG not in files:
            continue
        try:
            record = RunRecord.read(path)
        except TrainError as err:
            report(f"left out: {err}")
            continue
        except OSError as err:
            report(f"left out: {err.filename or path}: {err.strerror or err}")
            continue
        found.append(record)
        # A run holds no others.
        folders.clear()
    return found
