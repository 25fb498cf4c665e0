"""Checking a store on object storage: each worker copies a shard here, checks it as any other, and deletes it."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

from bigearth_pipeline.verify.findings import Findings
from bigearth_pipeline.verify.unlisted import describe, unlisted
from shards.errors import BepError
from shards.metadata.entries import ShardInfo
from shards.metadata.manifest import BUILD_NOTE, MANIFEST, Manifest
from shards.runtime.scratch import ScratchFolder
from shards.storage.base import FileEntry
from shards.storage.remote.address import Address
from shards.storage.remote.attempts import attempt, system_error
from shards.storage.remote.client import Client
from shards.storage.remote.copy import copy_objects
from shards.storage.remote.failures import Refused
from shards.write.contents import LISTS

_NO_LIST: Final = ("http", "https")


@contextmanager
def copied(address: Address, manifest: Manifest) -> Iterator[Path]:
    """Copy all but the shards of a store into a temporary folder, which is named by the address in errors.

    Raises:
        OSError: an object cannot be read, or there is no space for it.
    """
    with ScratchFolder("verify") as folder:
        small = [FileEntry(info.path, info.size_bytes) for info in manifest.files]
        client = Client(address)
        copy_objects(client, [*(FileEntry(name, 0) for name in (MANIFEST, BUILD_NOTE, *LISTS)), *small], folder)
        try:
            yield folder
        except BepError as err:
            if str(folder) in str(err):
                raise type(err)(str(err).replace(str(folder), str(address))) from err
            raise


@contextmanager
def shard_copied(address: Address | None, shard: ShardInfo, folder: Path) -> Iterator[None]:
    """Have the files of a shard in a folder while the block runs; without an address they are there."""
    if address is None:
        yield
        return
    try:
        copy_objects(Client(address), [FileEntry(info.path, info.size_bytes) for info in shard.files], folder)
        yield
    finally:
        for info in shard.files:
            with suppress(FileNotFoundError):
                (folder / info.path).unlink()


def renamed(findings: Findings, folder: Path, address: Address) -> Findings:
    """Return findings that name the address in place of the folder of the copy."""
    findings.problems = sorted(problem.replace(str(folder), str(address)) for problem in findings.problems)
    findings.notes = [note.replace(str(folder), str(address)) for note in findings.notes]
    return findings


def add_unlisted(findings: Findings, address: Address, manifest: Manifest) -> None:
    """Add the objects that the manifest does not list: those in the folders of splits of a Zarr store are problems.

    Raises:
        OSError: the address cannot be listed.
    """
    if address.scheme in _NO_LIST:
        findings.notes.append(f"{address} cannot be listed, so files that {MANIFEST} lacks were not looked for")
        return
    try:
        found = {entry.name for entry in attempt(partial(Client(address).list, ""))}
    except Refused as err:
        raise system_error(address, err) from None
    findings.notes += describe(unlisted(manifest, found))
    if manifest.format == "zarr":
        inside = {name for name in found if name.split("/")[0] in manifest.splits}
        findings.problems += [f"{MANIFEST} does not list {name}" for name in inside - manifest.paths]
