"""Checks that tars and Zarr shards hold what `index.parquet` says.

The containers are read with other code than the reader's (tarfile, zarr-python), so that a mistake in one is not
repeated in the other.
"""

import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from crc32c import crc32c

from shards import CorruptShard, Store
from shards.bands import PATCH_METRES
from shards.classes import decode_labels, multi_hot
from shards.index import PARTS
from shards.manifest import ShardInfo


def check_tar(store: Store, shard: ShardInfo, rows: list[int]) -> Iterator[str]:
    """Compare a tar, as the standard library reads it, with the index and with its DALI index file."""
    path = store.folder / shard.files[0].path
    try:
        with tarfile.open(path, "r:") as tar:
            members = tar.getmembers()
            names = [member.name for member in members]
            keys = [store.index.key(row) for row in rows]
            expected = [f"{key}.{extension}" for key in keys for extension in ("s2", "labels", "json")]
            if names != expected:
                yield f"{path} holds other members, or in another order, than the index says"
                return
            for i, row in enumerate(rows):
                record, labels, facts = members[3 * i : 3 * i + 3]
                yield from _check_members(store, row, path, record, _content(tar, labels), _content(tar, facts))
    except (tarfile.TarError, OSError) as err:
        yield f"{path} is not a readable tar: {err}"
        return
    lines = [
        " ".join(
            f"{member.name.rpartition('.')[2]} {member.offset_data} {member.size} {member.name}" for member in trio
        )
        for trio in (members[i : i + 3] for i in range(0, len(members), 3))
    ]
    index_path = store.folder / shard.files[1].path
    try:
        if index_path.read_bytes() != "\n".join([f"v1.2 {len(rows)}", *lines, ""]).encode():
            yield f"{index_path} does not describe {path.name}"
    except OSError as err:
        yield f"{index_path} cannot be read: {err.strerror}"


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    return file.read() if file else b""


def _check_members(
    store: Store, row: int, path: Path, record: tarfile.TarInfo, labels: bytes, facts: bytes
) -> Iterator[str]:
    index = store.index
    values = {name: index.table[name][row].as_py() for name in index.table.column_names}
    key = values["key"]
    if (record.offset_data, record.size) != (values["s2_offset"], values["s2_length"]):
        yield f"{path}: {key}.s2 lies at {record.offset_data} + {record.size}, the index says otherwise"
    if labels != multi_hot(values["label_mask"]).tobytes():
        yield f"{path}: {key}.labels differs from the index"
    try:
        raw: Any = json.loads(facts)
    except ValueError as err:
        yield f"{path}: {key}.json is not JSON: {err}"
        return
    ulx, uly = values["ulx"], values["uly"]
    expected = {
        "key": key,
        "split": values["split"],
        "labels": list(decode_labels(values["label_mask"])),
        "country": values["country"],
        "date": values["date"].isoformat(),
        "crs": f"EPSG:{values['epsg']}",
        "transform": [10.0, 0.0, ulx, 0.0, -10.0, uly],
        "bounds": [ulx, uly - PATCH_METRES, ulx + PATCH_METRES, uly],
        "seasonal_snow": values["seasonal_snow"],
        "cloud_or_shadow": values["cloud_or_shadow"],
        "baseline": values["baseline"],
        "nodata_pixels": values["nodata_pixels"],
    }
    wrong = [name for name, value in expected.items() if not isinstance(raw, dict) or raw.get(name) != value]
    if wrong:
        yield f"{path}: {key}.json differs from the index in {', '.join(wrong)}"


def check_zarr_shard(store: Store, shard: ShardInfo, rows: list[int]) -> Iterator[str]:
    """Compare the indices at the ends of the Zarr shards, and what zarr-python reads by them, with `index.parquet`."""
    number = int(shard.name.rpartition("-")[2])
    capacity = store.manifest.patches_per_shard
    if not 0 < len(rows) <= capacity:
        yield f"{shard.name}: the index has {len(rows)} rows, expected 1 to {capacity}"
        return
    index_bytes = 16 * capacity
    group: Any = None
    for name, info in zip(PARTS["zarr"], shard.files, strict=True):
        path = store.folder / info.path
        try:
            with open(path, "rb") as file:
                file.seek(-(index_bytes + 4), os.SEEK_END)
                footer = file.read()
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
        try:
            group = group or zarr.open_group(store.folder, path=shard.split, mode="r")
            for place in sorted({*range(0, len(rows), 256), len(rows) - 1}):
                pixels = group[name][number * capacity + place]
                if not np.array_equal(pixels, getattr(store.read(rows[place]), name)):
                    yield f"{path}: {store.index.key(rows[place])} reads differently with zarr-python"
        except CorruptShard as err:
            yield str(err)
        except Exception as err:  # Any error of the library means that it cannot read the array.
            yield f"{path} is not readable by zarr-python: {err}"


def check_zarr_tables(store: Store) -> Iterator[str]:
    """Compare the labels and keys that zarr-python reads with `index.parquet`."""
    for split in store.manifest.splits:
        rows = store.index.rows(split)
        try:
            group: Any = zarr.open_group(store.folder, path=split, mode="r")
            labels = group["labels"][:]
            keys = [bytes(key).rstrip(b"\0").decode() for key in group["key"][:]]
        except Exception as err:  # As above.
            yield f"{store.folder / split} is not readable by zarr-python: {err}"
            continue
        if not np.array_equal(labels, store.index.labels()[rows]):
            yield f"{store.folder / split}/labels differs from the index"
        if keys != [store.index.key(row) for row in rows.tolist()]:
            yield f"{store.folder / split}/key differs from the index"
