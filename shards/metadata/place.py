"""Places of files that are no part of a store: outside of all stores, whose folders hold nothing else."""

from pathlib import Path

from shards.errors import InvalidValue
from shards.metadata.manifest import INDEX, MANIFEST


def store_around(place: Path) -> Path | None:
    """Return the finished store that a folder is or lies in, known by its manifest and index; None without one."""
    return next(
        (each for each in (place, *place.parents) if all((each / name).is_file() for name in (MANIFEST, INDEX))), None
    )


def check_outside_stores(path: Path) -> None:
    """Check that a file or folder of something else than a store is none and lies in none.

    Raises:
        InvalidValue: it is a finished store, or lies in one.
    """
    if (store := store_around(path.resolve())) is not None:
        raise InvalidValue(f"{lies_in(path, store)} a store, expected a place outside of one; name another")


def lies_in(path: Path, found: Path) -> str:
    """Return the first words of a message on a path: it is the folder found around its resolved form, or lies in it."""
    return f"{path} is" if found == path.resolve() else f"{path} lies in {found}, which is"
