"""Checkpoints of the best epochs that a run keeps beside `best.pt`, one file for each epoch.

Names say epoch and score, such as `checkpoints/epoch-0007-ap_macro-0.6912.pt`. Which files belong to a run is in its
state, so that they are right after a kill at any moment: a file is written before the state that lists it, and removed
after the state that does not.
"""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Final

from trainer.runs import checksum
from trainer.runs.folder import BEST

NAME: Final = re.compile(r"epoch-\d{4,}-[a-z0-9_]+-(-?\d+\.\d{4}|none)\.pt")
"""Names of these files."""


def evaluable(folder: Path) -> list[str]:
    """Return the names of the checkpoints of a run that can be evaluated: its best, and the epochs that it keeps."""
    files = (folder / BEST).parent.glob("*.pt")
    return sorted(path.name for path in files if path.name == BEST.name or NAME.fullmatch(path.name))


def name_of(epoch: int, monitor: str, value: float | None) -> str:
    """Return the name of the file of an epoch.

    Args:
        epoch: its number, from 1.
        monitor: name of the monitored value.
        value: that it has; None if it cannot be computed.
    """
    return f"epoch-{epoch:04d}-{monitor}-{'none' if value is None else format(value, '.4f')}.pt"


def enter(kept: dict[str, float], name: str, score: float, number: int) -> bool:
    """Return True if an epoch is one of the best, and list it; those that it displaces are taken from the list.

    Args:
        kept: scores by name of file, in the order of their epochs.
        name: file of the new epoch.
        score: of the new epoch, the higher the better; of equal ones the earlier is better.
        number: of files to keep.
    """
    kept[name] = score
    trim(kept, number)
    return name in kept


def trim(kept: dict[str, float], number: int) -> None:
    """Take all but the best from the list."""
    # Sorting is stable: an earlier epoch stays ahead of a later one with the same score.
    for worse in sorted(kept, key=lambda name: -kept[name])[number:]:
        del kept[worse]


def prune(folder: Path, kept: Collection[str]) -> None:
    """Remove the files of epochs that are not among those that a run keeps.

    Only regular files are removed that bear such a name and end as our checkpoints do.

    Args:
        folder: of the run.
        kept: names of files to keep.
    """
    for path in (folder / BEST).parent.glob("epoch-*.pt"):
        if path.name in kept or not NAME.fullmatch(path.name) or path.is_symlink() or not path.is_file():
            continue
        if checksum.is_marked(path):
            path.unlink(missing_ok=True)
