"""The storage of a place: a folder of this machine, or an address on object storage."""

from itertools import islice
from pathlib import Path
from typing import Final

from shards.errors import InvalidValue
from shards.storage.base import Storage
from shards.storage.local import LocalStorage
from shards.storage.remote.address import Address, place_of

_MOST_LOOKED_AT: Final = 1000
"""Entries of a folder that are looked at for a hint; a source has 590,326."""

_MOST_NAMED: Final = 3


def hint_of(folder: Path, name: str) -> str:
    """Return a hint to folders that were perhaps meant, to end an error: one that holds a folder, or those in it.

    Args:
        folder: which lacks the file.
        name: of the file that the folder should have.
    """
    try:
        near = (folder.parent, *islice(folder.iterdir(), _MOST_LOOKED_AT))
        found = list({each.resolve(): str(each) for each in near if (each / name).is_file()}.values())
    except OSError:
        return ""
    return f"; perhaps {' or '.join(sorted(found)[:_MOST_NAMED])}" if found else ""


def storage_of(
    place: Path, *, may_map: bool = True, cache_dir: Path | None = None, cache_bytes: int | None = None
) -> Storage:
    """Return the storage of a place.

    Args:
        place: a folder or an address.
        may_map: map files of a folder that lie in a memory file system.
        cache_dir: folder of the cache for an address.
        cache_bytes: bytes that it may take up.

    Raises:
        InvalidValue: obstore is not installed, or a cache is named for a folder.
    """
    place = place_of(place)
    if isinstance(place, Address):
        # Imported here: a local store needs none of it.
        from shards.storage.remote.storage import RemoteStorage

        return RemoteStorage(place, cache_dir, cache_bytes)
    for name, value in (("cache_dir", cache_dir), ("cache_bytes", cache_bytes)):
        if value is not None:
            raise InvalidValue(f"`{name}={value}` has no effect: {place} is on this machine; leave it out")
    return LocalStorage(place, may_map=may_map)
