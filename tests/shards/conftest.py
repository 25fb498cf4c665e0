"""Stores in every format, and what the kernel holds of files."""

import ctypes
import hashlib
import mmap
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import shards
from shards.layout.bands import RECORD_VALUES
from shards.metadata.index import read_table, write_table
from shards.metadata.manifest import INDEX, Manifest
from tests import faults
from tests.building import build_store

SHM = "/dev/shm"


@pytest.fixture(scope="session")
def zarr_raw_store(scene_tree: Path, scheduler: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scene as a Zarr store of uncompressed records."""
    out = tmp_path_factory.mktemp("stores") / "zarr-raw"
    build_store(out, scene_tree, scheduler=scheduler, patches_per_shard=64, format="zarr", codec="raw")
    return out


@pytest.fixture(params=["tar_store", "zarr_store", "packed_store", "raw_store", "zarr_raw_store"])
def any_store(request: pytest.FixtureRequest) -> Path:
    """Each format with compressed and with uncompressed records."""
    path: Path = request.getfixturevalue(request.param)
    return path


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in tmpfs."""
    mounts = [line.split(" - ") for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    kinds = [kind.split()[0] for mount, kind in mounts if mount.split()[4] == SHM]
    if kinds[-1:] != ["tmpfs"]:
        pytest.skip(f"{SHM} is no tmpfs")
    with tempfile.TemporaryDirectory(dir=SHM, prefix="bep-test-") as folder:
        yield Path(folder)


def read_rows(store: shards.Store, rows: object, **options: object) -> np.ndarray:
    """Return records, decoded into zeros."""
    rows = np.asarray(rows)
    return store.read_into(rows, np.zeros((len(rows), RECORD_VALUES), np.uint16), **options)


def shard_files(folder: Path) -> list[list[Path]]:
    """Return the files that hold records, by shard."""
    shards = Manifest.read(folder).shards
    return [[folder / info.path for info in shard.files if not info.path.endswith(".idx")] for shard in shards]


def share_in_cache(path: Path) -> float:
    """Return which share of a file the page cache holds (mincore(2)); asking reads nothing of it."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE) as mapping:
        start = (ctypes.c_char * len(mapping)).from_buffer(mapping)
        pages = (ctypes.c_ubyte * -(-len(mapping) // mmap.PAGESIZE))()
        mincore = getattr(ctypes.CDLL(None), "mincore", None)
        known = mincore is not None and mincore(start, ctypes.c_size_t(len(mapping)), pages) == 0
        del start
        if not known:
            pytest.skip("what the page cache holds is not known here: mincore(2) is missing")
        return sum(page & 1 for page in pages) / len(pages)


def replace_index(folder: Path, **columns: pa.Array) -> None:
    """Write other columns into the index of a store, with a checksum in the manifest that fits."""
    path = folder / INDEX
    table = read_table(path)
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, values)
    write_table(table, path)
    content = path.read_bytes()

    def change(manifest: Any) -> None:
        for info in manifest["files"]:
            if info["path"] == INDEX:
                info |= {"size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    faults.edit_manifest(folder, change)


def opened_files() -> dict[int, str]:
    """Return what the descriptors of this process stand for, but for what the monitor of the Dask cluster reads."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:  # The one that lists them.
            continue
    return {number: path for number, path in found.items() if not path.startswith("/proc/")}
