"""The note of a finished shard in the work folder, and whether what it says still holds when a build resumes."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from bigearth_pipeline.build.contents import note_paths, shard_paths
from bigearth_pipeline.build.plan import ShardPlan
from bigearth_pipeline.build.select import Quarantined
from bigearth_pipeline.source.fingerprint import fingerprint_now
from shards.errors import CorruptShard
from shards.metadata.manifest import ShardInfo, StoreFormat
from shards.storage.atomic import atomic_write
from shards.storage.regular import open_regular, read_regular, resolve_inside

_MAX_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class ShardOptions:
    """What all shards of a store have in common.

    Attributes:
        out: the store.
        work: folder for what the final step needs of each shard.
        format: `webdataset` or `zarr`.
        codec: name of the record codec.
        patches_per_shard: patches of a full shard.
    """

    out: Path
    work: Path
    format: StoreFormat
    codec: str
    patches_per_shard: int


@dataclass(frozen=True, slots=True)
class ShardResult:
    """What became of a shard: its description, or the bad patches that kept it from being written.

    Attributes:
        info: for the manifest.
        bad: bad patches.
        bytes_read: bytes of the band files.
        source: fingerprint of the files that it was made of.
    """

    info: ShardInfo | None
    bad: tuple[Quarantined, ...]
    bytes_read: int
    source: str = ""


@dataclass(frozen=True, slots=True)
class Checked:
    """A shard of an earlier run: its result, or why it is built again; neither if it is of another plan."""

    result: ShardResult | None = None
    reason: str | None = None


def write_note(plan: ShardPlan, options: ShardOptions, result: ShardResult) -> None:
    """Write the note that says that a shard is done, after all that it names."""
    assert result.info is not None
    note, *parts = note_paths(options.work, plan.name)
    content = {
        "plan": plan.digest,
        "bytes_read": result.bytes_read,
        "source": result.source,
        "shard": asdict(result.info),
        "parts": [hash_file(path) for path in parts],
    }
    with atomic_write(note) as file:
        file.write(json.dumps({"sha256": _digest(content), "note": content}).encode())


def check_shard(plan: ShardPlan, options: ShardOptions, progress: Callable[[int], None]) -> Checked:
    """Compare a shard of an earlier run with its note, its plan and its source; run on a worker.

    Every byte of it is read. Nothing but the files that a shard of this plan has is opened, whatever the note says.

    Args:
        plan: the shard.
        options: what all shards have in common.
        progress: ends the task if nobody waits for it.
    """
    note, *parts = note_paths(options.work, plan.name)
    if note.is_symlink():
        return Checked(reason="its note is a symbolic link")
    try:
        content = _parse(read_regular(note, _MAX_BYTES))
    except FileNotFoundError:
        return Checked()
    except OSError as err:
        return Checked(reason=f"its note cannot be read: {err.strerror}")
    result = None if content is None else _result(content, plan, options)
    if content is None or result is None or result.info is None:
        return Checked(reason="its note is damaged, or of an earlier version")
    if content["plan"] != plan.digest or result.info.count != len(plan.entries):
        return Checked()
    if result.source != fingerprint_now([(entry.key, entry.folder) for entry in plan.entries]):
        return Checked(reason="files of its source have changed since")
    expected: list[tuple[Path, str, str, int | None]] = [
        (options.out, info.path, info.sha256, info.size_bytes) for info in result.info.files
    ]
    expected += [(options.work, path.name, sha256, None) for path, sha256 in zip(parts, content["parts"], strict=True)]
    for folder, relative, sha256, size in expected:
        progress(0)
        path = resolve_inside(folder, relative)
        try:
            if path is None or path.is_symlink():
                return Checked(reason=f"{relative} is a symbolic link")
            if size is not None and os.stat(path).st_size != size:
                return Checked(reason=f"{relative} has {os.stat(path).st_size} bytes, expected {size}")
            if hash_file(path) != sha256:
                return Checked(reason=f"{relative} differs from its checksum")
        except OSError as err:
            return Checked(reason=f"{relative} cannot be read: {err.strerror}")
    return Checked(result)


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    with open(open_regular(path), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _parse(raw: bytes) -> dict[str, Any] | None:
    """Return the content of a note; None if its checksum is not its own."""
    try:
        outer = json.loads(raw)
        content = outer["note"]
        return content if isinstance(content, dict) and _digest(content) == outer["sha256"] else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _result(content: dict[str, Any], plan: ShardPlan, options: ShardOptions) -> ShardResult | None:
    """Return what a note says of the shard; None unless it is what a note of this shard can say."""
    try:
        info = ShardInfo.from_json(content["shard"])
        bytes_read, source, parts = content["bytes_read"], content["source"], content["parts"]
    except (CorruptShard, KeyError):
        return None
    if not (
        isinstance(content.get("plan"), str)
        and type(bytes_read) is int
        and bytes_read >= 0
        and isinstance(source, str)
        and isinstance(parts, list)
        and len(parts) == 2
        and (info.name, info.split) == (plan.name, plan.split)
        and tuple(file.path for file in info.files) == shard_paths(options.format, plan.split, plan.number)
    ):
        return None
    return ShardResult(info, (), bytes_read, source)
