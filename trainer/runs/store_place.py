"""The store of a run: where its configuration says, or where it lay when the run began."""

import os
from pathlib import Path
from typing import Any, Final

from shards.metadata.manifest import MANIFEST
from shards.storage.places import storage_of
from shards.storage.remote.address import Address, place_of
from trainer.errors import TrainError
from trainer.runs.folder import config_path, description_path, read_json

STORE: Final = "store"
"""Key of the description of a run: the folder of its store as the options named it, and its absolute path then.

Old runs have none."""


def describe_place(data: Path) -> dict[str, Any]:
    """Return what the description of a new run says of the place of its store.

    Args:
        data: folder of the shards, as the configuration names it.
    """
    # Links stay, for somebody may have made them so that their targets can move.
    place = place_of(data)
    return {
        STORE: {"shards": str(data), "absolute": str(place) if isinstance(place, Address) else os.path.abspath(place)}
    }


def places_of(data: Path, run: Path) -> list[Path]:
    """Return where the store of a run may lie, the first choice first.

    Args:
        data: folder of the shards, as the configuration names it; a relative one is looked for from the working
            folder.
        run: folder of the run.

    Returns:
        That folder, and its absolute path when the run began, unless the configuration was edited since.
    """
    if isinstance(data, Address):
        return [data]
    try:
        kept = read_json(description_path(run)).get(STORE)
    except (OSError, TrainError):
        kept = None  # Whoever needs the description itself reports that.
    if not isinstance(kept, dict) or kept.get("shards") != str(data):
        return [data]
    absolute = kept.get("absolute")
    if not isinstance(absolute, str) or not os.path.isabs(absolute) or absolute == os.path.abspath(data):
        return [data]
    return [data, Path(absolute)]


def find_store(data: Path, run: Path) -> Path | None:
    """Return the folder of a run's store; None if it is in none of its places, see `places_of`."""
    return next((place for place in places_of(data, run) if storage_of(place).has(MANIFEST)), None)


def absence(data: Path, run: Path) -> str:
    """Return where a store was looked for, such as `store (from /tmp) holds no manifest.json, nor does /a/store`."""
    first, *others = places_of(data, run)
    start = "" if isinstance(first, Address) or first.is_absolute() else f" (from {Path.cwd()})"
    return f"{first}{start} holds no {MANIFEST}" + "".join(f", nor does {other}" for other in others)


def store_of(data: Path, run: Path, remedy: str) -> Path:
    """Return the folder of a run's store.

    Args:
        data: folder of the shards, as the configuration names it.
        run: folder of the run.
        remedy: the options that name another folder.

    Raises:
        TrainError: it is in none of its places, see `places_of`.
    """
    found = find_store(data, run)
    if found is None:
        raise TrainError(
            f"{absence(data, run)}; {config_path(run)} names it as the folder of the shards: if they were moved, name "
            f"their new folder: {remedy}"
        )
    return found
