"""Stores in every format, and what the kernel holds of files."""

import ctypes
import hashlib
import mmap
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pytest

import shards
from shards.codec.registry import DEFAULT_CODEC
from shards.layout.bands import RECORD_VALUES
from shards.metadata.index import read_table, write_table
from shards.metadata.manifest import INDEX, Manifest, StoreFormat
from shards.testing.stores import make_store
from tests.support.data import faults

SHM = "/dev/shm"


def _store(kind: str) -> Callable[[pytest.TempPathFactory], Path]:
    """Return the fixture of a store of 300 patches in seven shards."""
    format, codec = KINDS[kind]  # noqa: A001 (its name in manifests)

    @pytest.fixture(scope="session", name=kind)
    def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
        folder = tmp_path_factory.mktemp("stores") / kind
        counts = {"train": 150, "validation": 75, "test": 75}
        return make_store(folder, counts, format=format, codec=codec, patches_per_shard=64)

    return store


KINDS: Final[dict[str, tuple[StoreFormat, str]]] = {
    "tar_store": ("webdataset", DEFAULT_CODEC),
    "zarr_store": ("zarr", DEFAULT_CODEC),
    "raw_store": ("webdataset", "raw"),
    "packed_store": ("webdataset", "bitpack"),
    "zarr_raw_store": ("zarr", "raw"),
}
"""Format and codec of the stores here; they are made in process, without Dask and without real data."""

tar_store, zarr_store, raw_store, packed_store, zarr_raw_store = map(_store, KINDS)


QUICK: Final = ("zarr_store", "packed_store")
"""One of each format, with a codec each; tests of the others are left to the whole run."""
EACH_STORE: Final = [pytest.param(kind, marks=() if kind in QUICK else pytest.mark.long) for kind in KINDS]


@pytest.fixture(params=EACH_STORE)
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
