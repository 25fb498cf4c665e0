"""Checks that tars and Zarr shards hold what `index.parquet` says.

The containers are read with other code than the reader's (tarfile, zarr-python), so that a mistake in one is not
repeated in the other.
"""

import os
import re
import tarfile
from collections.abc import Iterable, Iterator
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
import zarr
from crc32c import crc32c

from shards import CorruptShard, Store
from shards.codec.blosc import Blosc
from shards.codec.registry import CODECS
from shards.container.tar import BLOCK
from shards.layout.classes import CLASSES, multi_hot
from shards.layout.facts import MAX_KEY, Facts, json_values
from shards.layout.record import S2
from shards.metadata.entries import ShardInfo
from shards.metadata.manifest import MANIFEST
from shards.metadata.parts import Part
from shards.storage.safe_open import open_inside, resolve_inside
from shards.text.json_text import parse_json
from shards.text.words import counted

_MEMBER_BYTES: Final = 1 << 16
"""Of labels or JSON in a tar, at most: they take 19 and about 700."""
_UNLISTED_BYTES: Final = 1 << 20
# The header of a Blosc 1 frame: the third byte holds the compressor in its upper three bits.
_BLOSC_FLAGS: Final = 2
_BLOSC_COMPRESSOR: Final = 5
_BLOSC_NUMBERS: Final = {"lz4": 1, "zstd": 4}


def check_tar(store: Store, shard: ShardInfo, rows: list[int]) -> Iterator[str]:
    """Compare a tar, as the standard library reads it, with the index and with its DALI index file."""
    path = store.folder / shard.files[0].path
    further, each = store.manifest.parts[1:], 2 + len(store.manifest.parts)
    try:
        with (
            open_inside(store.folder, shard.files[0].path) as file,
            tarfile.open(fileobj=_plain(file), mode="r:") as tar,
        ):
            members = tar.getmembers()
            names = [member.name for member in members]
            keys = [store.index.key(row) for row in rows]
            extensions = ("s2", "labels", "json", *(part.name for part in further))
            expected = [f"{key}.{extension}" for key in keys for extension in extensions]
            if names != expected:
                yield f"{path} holds other members, or in another order, than the index says"
                return
            for i, row in enumerate(rows):
                record, labels, facts, *groups = members[each * i : each * (i + 1)]
                yield from _check_members(store, row, path, _content(tar, labels), _content(tar, facts))
                for part, member in zip(store.manifest.parts, (record, *groups), strict=True):
                    yield from _check_place(store, row, path, part, member)
    except (tarfile.TarError, OSError) as err:
        yield f"{path} is not a readable tar: {getattr(err, 'strerror', None) or err}"
        return
    lines = [
        " ".join(
            f"{member.name.rpartition('.')[2]} {member.offset_data} {member.size} {member.name}" for member in patch
        )
        for patch in (members[i : i + each] for i in range(0, len(members), each))
    ]
    index_path = store.folder / shard.files[1].path
    expected_index = "\n".join([f"v1.2 {len(rows)}", *lines, ""]).encode()
    try:
        with open_inside(store.folder, shard.files[1].path) as file:
            if file.read(len(expected_index) + 1) != expected_index:
                yield f"{index_path} does not describe {path.name}"
    except OSError as err:
        yield f"{index_path} cannot be read: {err.strerror}"


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    return file.read(_MEMBER_BYTES) if file else b""


def _plain(file: BufferedReader) -> BufferedReader:
    """Return a tar at its begin if all of its members are plain files.

    Of other members the standard library reads the whole content before anyone is asked, be it of terabytes.

    Raises:
        ReadError: a member is something else.
    """
    size = os.fstat(file.fileno()).st_size
    offset = 0
    while offset < size:
        header = os.pread(file.fileno(), BLOCK, offset)
        if header == bytes(BLOCK):
            break
        if not re.fullmatch(rb"[0-7]{11}", header[124:135]) or header[156:157] != b"0":
            raise tarfile.ReadError(f"the member at {offset} is not a plain file")
        length = int(header[124:135], 8)
        offset += BLOCK + length + -length % BLOCK
    return file


def _check_place(store: Store, row: int, path: Path, part: Part, member: tarfile.TarInfo) -> Iterator[str]:
    offset, length = (store.index.column(f"{part.name}_{what}")[row] for what in ("offset", "length"))
    if (member.offset_data, member.size) != (offset, length):
        yield f"{path}: {member.name} lies at {member.offset_data} + {member.size}, the index says otherwise"


def _check_members(store: Store, row: int, path: Path, labels: bytes, facts: bytes) -> Iterator[str]:
    known = Facts(**store.index.facts(row))
    key = known.key
    if labels != multi_hot(known.label_mask).tobytes():
        yield f"{path}: {key}.labels differs from the index"
    try:
        raw: Any = parse_json(facts)
    except ValueError as err:
        yield f"{path}: {key}.json is not JSON: {err}"
        return
    expected = json_values(known)
    wrong = [name for name, value in expected.items() if not isinstance(raw, dict) or raw.get(name) != value]
    if wrong:
        yield f"{path}: {key}.json differs from the index in {', '.join(wrong)}"


def check_zarr_shard(store: Store, shard: ShardInfo, rows: list[int]) -> Iterator[str]:
    """Compare the indices at the ends of the Zarr shards, and what zarr-python reads by them, with `index.parquet`."""
    number = int(shard.name.rpartition("-")[2])
    capacity = store.manifest.patches_per_shard
    if not 0 < len(rows) <= capacity:
        yield f"{shard.name}: the index has {counted(len(rows), 'row')}, expected 1 to {capacity}"
        return
    index_bytes = 16 * capacity
    group: Any = None
    for record_group, info in zip(store.manifest.layout.groups, shard.files, strict=True):
        name, shape = record_group.name, record_group.shape
        path = store.folder / info.path
        try:
            with open_inside(store.folder, info.path) as file:
                file.seek(-(index_bytes + 4), os.SEEK_END)
                footer = file.read(index_bytes + 4)
        except OSError as err:
            yield f"{path} ends before its shard index: {err.strerror}"
            continue
        if crc32c(footer[:index_bytes]).to_bytes(4, "little") != footer[index_bytes:]:
            yield f"{path}: the CRC-32C of the shard index is wrong"
            continue
        places = np.full((capacity, 2), 2**64 - 1, np.uint64)
        for column, what in enumerate(("offset", "length")):
            places[: len(rows), column] = store.index.column(f"{name}_{what}")[rows]
        if not np.array_equal(np.frombuffer(footer, "<u8", 2 * capacity).reshape(-1, 2), places):
            yield f"{path}: the shard index differs from index.parquet"
            continue
        if not _zarr_can_read(store, _zarr_metadata(store, shard.split)):
            continue  # The check of the tables says so.
        try:
            group = group or zarr.open_group(store.folder, path=shard.split, mode="r", zarr_format=3)
            if (group[name].shape[1:], group[name].chunks) != (shape, (1, *shape)):
                yield f"{store.folder / shard.split / name} is an array of another shape than {name} of patches"
                continue
            if (kind := group[name].dtype) != np.dtype(record_group.dtype):
                yield f"{store.folder / shard.split / name} is an array of {kind}, expected {record_group.dtype}"
                continue
            for place in sorted({*range(0, len(rows), 256), len(rows) - 1}):
                pixels = group[name][number * capacity + place]
                # Bytes are compared, for NaN differs from itself.
                wanted = () if record_group.role == S2 else (name,)
                if pixels.tobytes() != store.read(rows[place], groups=wanted).group(name).tobytes():
                    yield f"{path}: {store.index.key(rows[place])} reads differently with zarr-python"
        except CorruptShard as err:
            yield str(err)
        except Exception as err:  # Any error of the library means that it cannot read the array.
            yield f"{path} is not readable by zarr-python: {err}"


def check_codec(store: Store, rows: list[int]) -> Iterator[str]:
    """Compare the compressor that Blosc frames name with the codec: any of them decodes under the name of another."""
    of_group = {S2: store.manifest.codec} | {group.name: str(group.codec) for group in store.manifest.layout.extras}
    for name, codec in ((name, CODECS[codec]) for name, codec in of_group.items()):
        try:
            frames = store.read_encoded(rows, group=name) if isinstance(codec, Blosc) else []
        except CorruptShard:
            continue  # The check of the records says so.
        numbers = {frame[_BLOSC_FLAGS] >> _BLOSC_COMPRESSOR for frame in frames}
        if isinstance(codec, Blosc) and numbers - {_BLOSC_NUMBERS[codec.cname]}:
            what = "codec" if name == S2 else f"codec of group {name}"
            yield f"{MANIFEST}: {what} is {codec.name}, but the Blosc frame of {store.index.key(rows[0])} is another's"


def _zarr_metadata(store: Store, split: str) -> list[str]:
    arrays = (part.name for part in store.manifest.parts)
    folders = ["", *(f"{split}/{name}" for name in ("", *arrays, "labels", "key"))]
    return [str(PurePosixPath(folder, "zarr.json")) for folder in folders]


def check_zarr_files(store: Store) -> Iterator[str]:
    """Compare the files in the folders of splits, and the metadata that there must be, with those of the manifest."""
    manifest = store.manifest
    found = {str(path.relative_to(store.folder)) for split in manifest.splits for path in _files(store.folder / split)}
    needed = {path for split in manifest.splits for path in _zarr_metadata(store, split)}
    yield from (f"{MANIFEST} does not list {path}" for path in sorted((found | needed) - manifest.paths))


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())


def _zarr_can_read(store: Store, paths: Iterable[str]) -> bool:
    """Return whether files are regular ones of a store, of about the size that the manifest gives, if it lists them.

    zarr-python would wait for a pipe, and read a file of terabytes into memory.
    """
    sizes = {info.path: info.size_bytes for info in store.manifest.files}
    return all(
        (path := resolve_inside(store.folder, name)) is not None
        and path.is_file()
        and path.stat().st_size <= sizes.get(name, 0) + _UNLISTED_BYTES
        for name in paths
    )


def check_zarr_tables(store: Store) -> Iterator[str]:
    """Compare the labels and keys that zarr-python reads with `index.parquet`."""
    for split in store.manifest.splits:
        rows = store.index.rows(split)
        folders = (store.folder / split / name for name in ("labels", "key"))
        files = [str(path.relative_to(store.folder)) for folder in folders for path in _files(folder)]
        if not _zarr_can_read(store, [*_zarr_metadata(store, split), *files]):
            yield f"{store.folder / split} is not readable by zarr-python: it lacks a file, or one is none or too large"
            continue
        try:
            group: Any = zarr.open_group(store.folder, path=split, mode="r", zarr_format=3)
            # Asked first: by its metadata an array can be of any size.
            for name, width in (("labels", len(CLASSES)), ("key", MAX_KEY)):
                (count, found), chunk = group[name].shape, group[name].chunks
                if count > store.manifest.count or found > width or chunk != (store.manifest.patches_per_shard, found):
                    raise ValueError(f"{name} is an array of {count} × {found} in chunks of {chunk}")
            labels = group["labels"][:]
            keys = [bytes(key).rstrip(b"\0").decode() for key in group["key"][:]]
        except Exception as err:  # As above.
            yield f"{store.folder / split} is not readable by zarr-python: {err}"
            continue
        if not np.array_equal(labels, store.index.labels()[rows]):
            yield f"{store.folder / split}/labels differs from the index"
        if keys != [store.index.key(row) for row in rows.tolist()]:
            yield f"{store.folder / split}/key differs from the index"
