"""The patches that a run has used, found again: whether thresholds are measured on the patches they were tuned on."""

from pathlib import Path

import numpy as np

import shards
from shards import Store
from shards.errors import BepError, InvalidValue
from trainer.config import chosen
from trainer.config.options import TrainConfig
from trainer.data.subset.rows import Subset
from trainer.runs import folder as run_folder
from trainer.runs.checkpoint import Checkpoint
from trainer.runs.results import Selection
from trainer.runs.store_place import find_store

TUNED_ON = "validation"
"""The split that a run tunes its thresholds on."""


def own_selection(store: Store, split: str, trained: TrainConfig, run: Path | None) -> Selection | None:
    """Return the patches of a split that a run has used; None if its list of patches is gone or has changed since.

    Args:
        store: the shards of the run.
        split: name of the split.
        trained: configuration of the run.
        run: folder of the run, which records what its list of patches selected; None for weights without a run.
    """
    try:
        subset = Subset.of(trained.data)
        if trained.data.patches is not None:
            recorded = _recorded(run).get(TUNED_ON)
            if recorded != chosen.digest(Selection.of(store, TUNED_ON, subset, trained.run.seed).rows):
                return None
        return Selection.of(store, split, subset, trained.run.seed)
    except (BepError, OSError):
        return None


def tuned_here(selection: Selection, checkpoint: Checkpoint, run: Path | None = None) -> bool | None:
    """Return whether the thresholds of a checkpoint were tuned on some of the selected patches.

    Patches of another store are compared by name, if the shards of the run are still where it found them.

    Args:
        selection: the patches that are evaluated.
        checkpoint: where the thresholds are.
        run: folder of its run; None for weights without a run.

    Returns:
        None if that cannot be told.
    """
    try:
        trained = TrainConfig.from_json(checkpoint.config)
    except InvalidValue:
        return None
    if not trained.data.validation:
        return False  # They are 0.5.
    if selection.manifest_sha256 == checkpoint.manifest_sha256:
        if selection.split != TUNED_ON:
            return False
        own = own_selection(selection.store, TUNED_ON, trained, run)
        return None if own is None else bool(np.isin(selection.rows, own.rows).any())
    if selection.store.manifest.source_version != checkpoint.source_version:
        return None  # The versions cut the same scenes into patches of other names.
    try:
        place = trained.data.shards if run is None else find_store(trained.data.shards, run)
        if place is None:
            return None
        with shards.open(place) as store:
            own = own_selection(store, TUNED_ON, trained, run)
            if own is None or own.manifest_sha256 != checkpoint.manifest_sha256:
                return None
            names = {store.index.key(row) for row in own.rows.tolist()}
    except (BepError, OSError):
        return None
    return any(selection.store.index.key(row) in names for row in selection.rows.tolist())


def _recorded(run: Path | None) -> dict[str, str]:
    """Return the digests of the rows that a run has used, by split; empty if there is no record."""
    if run is None:
        return {}
    progress = Checkpoint.read(run / run_folder.LAST).progress or {}
    try:
        return chosen.Chosen.from_json(progress.get("chosen") or {}).rows
    except InvalidValue:
        return {}
