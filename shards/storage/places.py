"""The storage of a place: a folder of this machine, or an address on object storage."""

from pathlib import Path

from shards.errors import InvalidValue
from shards.storage.base import Storage
from shards.storage.local import LocalStorage
from shards.storage.remote.address import Address, place_of


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
