"""Taking an address for one build: what lies there is another's, an earlier build's, or this one's."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from bigearth_pipeline.build.config import DamagedNote, differences, note_from, read_build_note
from bigearth_pipeline.errors import PipelineError
from shards.errors import BepError
from shards.metadata.manifest import BUILD_NOTE, MANIFEST, Manifest
from shards.metadata.seal import sealed
from shards.reporting import printable
from shards.runtime.scratch import ScratchFolder
from shards.storage.remote.address import Address
from shards.storage.remote.client import Client
from shards.storage.remote.upload import put_once
from shards.write.contents import WORK, is_of_build, note_of
from shards.write.publish import delete, entries, fetch_notes

_READ_ONLY: Final = ("http", "https")
_NAMED: Final = 3


def refuse_read_only(address: Address) -> None:
    """Refuse an address that nothing can be written to, before anything is read.

    Raises:
        PipelineError: its scheme is that of a web server.
    """
    if address.scheme in _READ_ONLY:
        raise PipelineError(f"{address} can only be read; name an address of s3://, gs:// or az://, or a folder")


@contextmanager
def claim_address(address: Address, note: dict[str, Any], *, overwrite: bool) -> Iterator[tuple[Path, bool]]:
    """Take an address for the build that the note describes.

    Two builds of the same note may run at the same time: they write the same bytes.

    Yields:
        A folder of this machine for what is not sent yet, with the notes of what an earlier run has sent; and whether
        the build has already finished.

    Raises:
        PipelineError: the address holds other objects or another build.
    """
    client = Client(address)
    try:
        is_finished = _settle(client, note, overwrite)
        with ScratchFolder("build") as folder:
            (folder / WORK).mkdir()
            if not is_finished:
                fetch_notes(address, folder)
            try:
                yield folder, is_finished
            except BepError as err:
                if str(folder) in str(err):
                    raise type(err)(str(err).replace(str(folder), str(address))) from err
                raise
    except OSError as err:
        if err.filename == str(address) or str(err.filename).startswith(f"{address}/"):
            raise PipelineError(f"{err.filename} cannot be written: {err.strerror}") from err
        raise


def _settle(client: Client, note: dict[str, Any], overwrite: bool) -> bool:
    """Leave nothing at the address but the build of the note; return whether it is finished."""
    address = client.address
    names = [entry.name for entry in entries(client)]
    try:
        earlier = read_build_note(address)
    except DamagedNote as err:
        if not overwrite or MANIFEST not in names:
            raise err.for_builds() from err
        # The manifest says what the note no longer does.
        earlier = note_from(Manifest.read(address))
    if overwrite and earlier is not None:
        _delete_store(client, names, earlier)
        earlier, names = None, []
    if earlier is not None:
        if found := differences(earlier, note):
            raise PipelineError(
                f"{address} holds another build: {'; '.join(found)}. "
                "Name another address, or replace that build with `overwrite=True`"
            )
        if MANIFEST in names:
            delete(client, [name for name in names if note_of(name)])
        return MANIFEST in names
    if names:
        raise PipelineError(f"{address} is not empty ({_some(names)}) and holds no build; name a new address")
    if not put_once(client, BUILD_NOTE, json.dumps(sealed(note), indent=1).encode() + b"\n"):
        raise PipelineError(f"{address} was taken by another build meanwhile")
    return False


def _delete_store(client: Client, names: list[str], earlier: dict[str, Any]) -> None:
    """Delete a store, the manifest first and its note last; nothing if there is an object that no build makes there.

    Raises:
        PipelineError: there is one.
    """
    max_shards = -(-earlier["num_folders"] // earlier["patches_per_shard"])
    strangers = [name for name in names if not is_of_build(name, earlier["format"], max_shards)]
    if MANIFEST in names:
        manifest = Manifest.read(client.address)
        listed = manifest.paths | {name for name in names if "/" not in name and not name.endswith((".tar", ".idx"))}
        strangers += [name for name in names if name not in listed and not name.startswith(f"{WORK}/")]
    if strangers:
        raise PipelineError(
            f"{client.address} holds {_some(strangers)}, which is no part of the store, so `overwrite=True` deletes "
            "nothing; move it elsewhere, or name another address"
        )
    first = [name for name in names if name == MANIFEST]
    delete(client, [*first, *(name for name in names if name not in (MANIFEST, BUILD_NOTE)), BUILD_NOTE])


def _some(names: list[str]) -> str:
    distinct = sorted(set(names))
    return printable(", ".join(distinct[:_NAMED]) + (", …" if len(distinct) > _NAMED else ""))
