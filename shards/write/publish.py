"""A store that is sent to an address: each shard once it is written, all else at the end, the manifest last.

Beside the notes of a shard (`shards.write.shard_note`), which are sent after its files, lies `NAME.tags.json` with the
tag of each object. A build that resumes compares sizes and tags, so that it need not read the shards again.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from shards.errors import InUse
from shards.metadata.entries import ShardInfo
from shards.metadata.manifest import BUILD_NOTE, MANIFEST, Manifest
from shards.storage.atomic import atomic_write
from shards.storage.base import FileEntry
from shards.storage.remote.address import Address
from shards.storage.remote.attempts import attempt, system_error
from shards.storage.remote.client import Client, Entry
from shards.storage.remote.copy import copy_objects
from shards.storage.remote.failures import Refused
from shards.storage.remote.upload import put_file, put_once
from shards.write.contents import LISTS, WORK, note_of, note_paths, shard_paths
from shards.write.options import StoreOptions

_SUFFIXES: Final = (".tags.json", ".index.parquet", ".histogram.parquet", ".json")
"""Of the files about a shard, that which says that it is done last."""


def publish_shard(options: StoreOptions, info: ShardInfo, check: Callable[[], object] = lambda: None) -> None:
    """Send the files of a written shard and its notes, and delete the files.

    Args:
        options: of the store.
        info: the shard.
        check: called every now and then; what it raises ends the upload.

    Raises:
        OSError: one cannot be read or sent.
    """
    client = _client(options)
    tags = {file.path: put_file(client, file.path, options.folder / file.path, check) for file in info.files}
    with atomic_write(_tags_path(options, info.name)) as file:
        file.write(json.dumps(tags).encode())
    for suffix in _SUFFIXES:
        name = f"{WORK}/{info.name}{suffix}"
        put_file(client, name, options.folder / name)
    for entry in info.files:
        (options.folder / entry.path).unlink()


def published_damage(options: StoreOptions, info: ShardInfo) -> str | None:
    """Compare the objects of a shard with what was noted when they were sent; return how one differs, None if none.

    Raises:
        OSError: it cannot be found out.
    """
    try:
        tags: Any = json.loads(_tags_path(options, info.name).read_bytes())
        tags = {file.path: tags[file.path] for file in info.files}
    except (OSError, ValueError, KeyError, TypeError):
        return "the tags of its objects are not known"
    client = _client(options)
    for file in info.files:
        try:
            found = attempt(lambda name=file.path: client.head(name))  # type: ignore[misc]
        except Refused as err:
            if err.kind != "absent":
                raise system_error(client.address / file.path, err) from None
            return f"{file.path} is absent"
        if (found.size_bytes, found.tag) != (file.size_bytes, tags[file.path]):
            return f"{file.path} is another object than was written"
    return None


def publish_store(options: StoreOptions, manifest: Manifest) -> None:
    """Send what `finish_store` has written, the manifest last and only if there is none, and delete the notes.

    Raises:
        InUse: another manifest has appeared meanwhile.
        OSError: a file cannot be read or sent.
    """
    client = _client(options)
    publish_lists(options)
    for name in (*(info.path for info in manifest.files), BUILD_NOTE):
        put_file(client, name, options.folder / name)
    if not put_once(client, MANIFEST, (options.folder / MANIFEST).read_bytes()):
        raise InUse(f"{client.address} was finished by another build meanwhile, with another manifest")
    delete(client, _stale(options, {shard.name for shard in manifest.shards}, entries(client)))


def publish_lists(options: StoreOptions) -> None:
    """Send the lists of patches that could not be used; those that there are none of are deleted."""
    client = _client(options)
    for name in LISTS:
        if (options.folder / name).exists():
            put_file(client, name, options.folder / name)
        else:
            delete(client, [name])


def entries(client: Client) -> list[Entry]:
    """Return all objects below an address.

    Raises:
        OSError: they cannot be listed.
    """
    try:
        return list(attempt(client.list))
    except Refused as err:
        raise system_error(client.address, err) from None


def delete(client: Client, names: Iterable[str]) -> None:
    """Delete objects, if they are there.

    Raises:
        OSError: one cannot be deleted.
    """
    for name in names:
        try:
            attempt(lambda name=name: client.delete(name))  # type: ignore[misc]
        except Refused as err:
            raise system_error(client.address / name, err) from None


def fetch_notes(address: Address, folder: Path) -> None:
    """Copy the notes of an unfinished build into its folder on this machine.

    Raises:
        OSError: they cannot be read or written.
    """
    client = Client(address)
    found = [FileEntry(entry.name, entry.size_bytes) for entry in entries(client) if entry.name.startswith(f"{WORK}/")]
    copy_objects(client, found, folder)


def _stale(options: StoreOptions, shards: set[str], found: Iterable[Entry]) -> Iterator[str]:
    """Yield the notes, and before the note of a shard that the build has given up, its objects.

    Filling the holes of bad patches can empty the last shard of a split.
    """
    for entry in found:
        if (name := note_of(entry.name)) is None:
            continue
        if name not in shards:
            split, _, number = name.rpartition("-")
            yield from shard_paths(options.format, split, int(number), options.layout)
        yield entry.name


def _client(options: StoreOptions) -> Client:
    assert options.address is not None
    return Client(options.address)


def _tags_path(options: StoreOptions, shard: str) -> Path:
    return note_paths(options.work, shard)[0].with_name(f"{shard}.tags.json")
