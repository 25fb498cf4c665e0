"""The note of a written shard in the work folder: what the final step needs of it, with checksums, written last."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from shards.errors import BepError, CorruptShard
from shards.metadata.entries import ShardInfo
from shards.storage.atomic import atomic_write
from shards.storage.safe_open import read_regular, resolve_inside
from shards.write.checksums import sha256_of
from shards.write.contents import note_paths, shard_name, shard_paths
from shards.write.options import StoreOptions

DAMAGED: Final = "its note is damaged, or of an earlier version"

_MAX_BYTES: Final = 1 << 16
_NUM_PARTS: Final = 2


class DamagedNote(BepError):
    """The note of a shard cannot be read, or says what no note says."""


@dataclass(frozen=True, slots=True)
class ShardNote:
    """Contents of a note.

    Attributes:
        info: the shard, for the manifest.
        parts: SHA-256 of its rows of the index and of its histogram.
        made_of: what the caller of the writer has added: from what the shard was made.
    """

    info: ShardInfo
    parts: tuple[str, str]
    made_of: dict[str, Any]


def write_note(options: StoreOptions, info: ShardInfo, made_of: Mapping[str, Any]) -> None:
    """Write the note that says that a shard is done, after all that it names."""
    note, *parts = note_paths(options.work, info.name)
    content = {**made_of, "shard": asdict(info), "parts": [sha256_of(path) for path in parts]}
    with atomic_write(note) as file:
        file.write(json.dumps({"sha256": _digest(content), "note": content}).encode())


def read_note(options: StoreOptions, split: str, number: int) -> ShardNote:
    """Read the note of a shard; no other file is opened, whatever it says.

    Raises:
        FileNotFoundError: there is none.
        DamagedNote: it cannot be read, or is not one that `write_note` has written for this shard.
    """
    path = note_paths(options.work, shard_name(split, number))[0]
    if path.is_symlink():
        raise DamagedNote("its note is a symbolic link")
    try:
        content = _parse(read_regular(path, _MAX_BYTES))
    except FileNotFoundError:
        raise
    except OSError as err:
        raise DamagedNote(f"its note cannot be read: {err.strerror}") from err
    try:
        info, parts = ShardInfo.from_json(content.pop("shard")), content.pop("parts")
    except (CorruptShard, KeyError):
        raise DamagedNote(DAMAGED) from None
    if not (
        isinstance(parts, list)
        and len(parts) == _NUM_PARTS
        and all(isinstance(part, str) for part in parts)
        and (info.name, info.split) == (shard_name(split, number), split)
        and tuple(file.path for file in info.files) == shard_paths(options.format, split, number, options.layout)
    ):
        raise DamagedNote(DAMAGED)
    return ShardNote(info, (parts[0], parts[1]), content)


def damage(options: StoreOptions, note: ShardNote, progress: Callable[[int], None]) -> str | None:
    """Compare the files of a shard with its note, byte by byte; return how one differs, None if none does.

    Args:
        options: of the store.
        note: from `read_note`.
        progress: called with 0 before each file.
    """
    for info in note.info.files:
        progress(0)
        if reason := _damage(options.folder, info.path, info.sha256, info.size_bytes):
            return reason
    return notes_damage(options, note)


def notes_damage(options: StoreOptions, note: ShardNote) -> str | None:
    """Compare the rows of the index and the histogram of a shard with its note; as `damage`."""
    paths = note_paths(options.work, note.info.name)[1:]
    reasons = (_damage(options.work, path.name, sha256) for path, sha256 in zip(paths, note.parts, strict=True))
    return next((reason for reason in reasons if reason), None)


def _damage(folder: Path, relative: str, sha256: str, size: int | None = None) -> str | None:
    path = resolve_inside(folder, relative)
    try:
        if path is None or path.is_symlink():
            return f"{relative} is a symbolic link"
        if size is not None and os.stat(path).st_size != size:
            return f"{relative} has {os.stat(path).st_size} bytes, expected {size}"
        if sha256_of(path) != sha256:
            return f"{relative} differs from its checksum"
    except OSError as err:
        return f"{relative} cannot be read: {err.strerror}"
    return None


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _parse(raw: bytes) -> dict[str, Any]:
    """Return the content of a note.

    Raises:
        DamagedNote: its checksum is not its own.
    """
    try:
        outer = json.loads(raw)
        content = outer["note"]
        if isinstance(content, dict) and _digest(content) == outer["sha256"]:
            return content
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise DamagedNote(DAMAGED)
