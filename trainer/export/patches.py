"""Records that an export is compared with torch on: patches of the run's store, or synthetic ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

import shards
from shards.errors import BepError
from shards.layout.bands import RECORD_VALUES
from shards.metadata.manifest import MANIFEST
from shards.storage.places import storage_of
from shards.text.words import counted

NUM_PATCHES: Final = 20
_SPLITS: Final = ("test", "validation", "train")
_HIGHEST: Final = 10_000
"""Digital number of a reflectance of 1: random pixels are below it."""


@dataclass(frozen=True, slots=True)
class Patches:
    """Records and where they are from.

    Attributes:
        records: (n, 80000) uint16.
        origin: a part of a line, such as `20 patches of store`.
    """

    records: NDArray[np.uint16]
    origin: str


def of_store(folder: Path) -> Patches:
    """Return the first patches of a store's test split, or of the first split that it has of validation and train.

    Raises:
        ShardError: the store is damaged, or none.
        OSError: a file cannot be read.
    """
    with shards.open(folder) as store:
        split = next(name for name in _SPLITS if len(store.index.rows(name)))
        rows = store.index.rows(split)[:NUM_PATCHES]
        records = np.empty((len(rows), RECORD_VALUES), np.uint16)
        store.read_into(rows, records)
    return Patches(records, f"{counted(len(rows), 'patch', 'patches')} of {folder}, split {split}")


def synthetic(reason: str) -> Patches:
    """Return records of random pixels, the first two with the lowest and the highest value alone."""
    records = np.random.default_rng(0).integers(0, _HIGHEST, (NUM_PATCHES, RECORD_VALUES)).astype(np.uint16)
    records[0], records[1] = 0, np.iinfo(np.uint16).max
    return Patches(records, f"{len(records)} synthetic records, for {reason}")


def find(given: Path | None, of_run: Sequence[Path] | None) -> Patches:
    """Return patches of a store that is given, or of the run's if it is still there, or synthetic ones.

    Args:
        given: folder of a store; None for that of the run.
        of_run: where that may lie, the first choice first; None if nothing tells.

    Raises:
        ShardError, OSError: the store that is given cannot be read.
    """
    if given is not None:
        return of_store(given)
    if of_run is None:
        return synthetic("an export does not say where its store is")
    found = next((place for place in of_run if storage_of(place).has(MANIFEST)), None)
    if found is None:
        return synthetic(f"the run's store {' or '.join(map(str, of_run))} is not there")
    try:
        return of_store(found)
    except (BepError, OSError) as err:
        return synthetic(f"the run's store cannot be read ({err})")
