"""The on-disk format of BigEarthNet shards: `SPEC.md` in this folder is its specification.

    import shards
    store = shards.open("DIR")
    patch = store.read(0)                     # patch.b10, patch.b20, patch.b60, patch.group("name"), patch.labels, …
    rows = store.index.rows("train")[:256]
    out = numpy.empty((len(rows), shards.RECORD_VALUES), numpy.uint16)
    store.read_into(rows, out)                # decoded by a thread pool

Constants:

- `BANDS`, `GROUPS`: names of the bands in the order of a record; groups of one resolution, in that order.
- `RECORD_VALUES`, `RECORD_BYTES`: uint16 values of a record, and bytes of them.
- `CLASSES`, `SPLITS`: names of the 19 classes in the order of labels, and of the splits in the order of rows.
- `CODECS`: codecs of records by name.
- `VERIFY`, `Verify`: when stored bytes are compared with their CRC-32C, as values and as a type; see `Store`.
"""

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

from shards.codec.registry import CODECS, record_decoder
from shards.errors import BepError, CorruptShard, InUse, InvalidValue, NotEnoughMemory, ShardError, UnfinishedStore
from shards.layout.bands import BANDS, GROUPS, RECORD_BYTES, RECORD_VALUES
from shards.layout.classes import CLASSES
from shards.layout.patch import Patch
from shards.layout.record import RecordGroup, RecordLayout
from shards.metadata.entries import SPLITS
from shards.metadata.index import Index
from shards.metadata.manifest import Manifest
from shards.read.checks import VERIFY, Verify
from shards.read.store import Store
from shards.text.kinds import check_kind

if TYPE_CHECKING:
    import xarray

__all__ = [
    "BANDS",
    "CLASSES",
    "CODECS",
    "GROUPS",
    "RECORD_BYTES",
    "RECORD_VALUES",
    "SPLITS",
    "VERIFY",
    "BepError",
    "CorruptShard",
    "InUse",
    "Index",
    "InvalidValue",
    "Manifest",
    "NotEnoughMemory",
    "Patch",
    "RecordGroup",
    "RecordLayout",
    "ShardError",
    "Store",
    "UnfinishedStore",
    "Verify",
    "open",
    "record_decoder",
    "to_xarray",
]


def open(
    folder: str | os.PathLike[str],
    *,
    num_threads: int | None = None,
    mapped: bool = True,
    cache_dir: str | os.PathLike[str] | None = None,
    cache_bytes: int | None = None,
) -> Store:
    """Open a finished store for reading; see `Store`."""
    return Store(folder, num_threads=num_threads, mapped=mapped, cache_dir=cache_dir, cache_bytes=cache_bytes)


def to_xarray(store: Store, split: str, *, patches_per_chunk: int | None = 256) -> "xarray.Dataset":
    """Return a split of a store, tars or Zarr, as a dataset of xarray; pixels are read when they are used.

    Variables are `b10`, `b20`, `b60` and further groups, (patch, band, y, x) as they are stored, and `labels`,
    (patch, class) uint8; where the store has labels of BigEarthNet v1's 43 classes also `labels43`, (patch, class43)
    uint8. Coordinates name patches, bands and classes, and give each patch its `row` in the index,
    `country`, `date`, `epsg`, `ulx`, `uly` and its flags, NaN where unknown. Patches lie in several systems, on no
    common grid: `x_10m` and `y_10m` (and so on) are metres from the upper-left corner of the patch to centres of
    pixels, so that a pixel lies at `ulx + x_10m`, `uly + y_10m` in the system of its patch.

    Args:
        store: it must stay open while pixels are read.
        split: name of the split.
        patches_per_chunk: patches of a Dask chunk, 160 kB each; 256 are an eighth of a full shard. None: arrays without
            Dask, each part of which is read when it is used.

    Raises:
        InvalidValue: the store has no such split, the number is below 1, or xarray or Dask is not installed.
    """
    check_kind("store", store, Store)
    if not isinstance(split, str) or split not in store.manifest.splits:
        raise InvalidValue(f"{store.folder} has no split {split!r:.60}, only {', '.join(store.manifest.splits)}")
    if patches_per_chunk is not None and not (isinstance(patches_per_chunk, int) and patches_per_chunk >= 1):
        raise InvalidValue(f"patches_per_chunk is {patches_per_chunk!r:.60}, expected at least 1, or None")
    for library in ("xarray", *(() if patches_per_chunk is None else ("dask",))):
        if find_spec(library) is None:
            raise InvalidValue(f"to_xarray needs {library}, which is not installed: pip install {library}")
    from shards.read.labelled import labelled

    return labelled(store, split, patches_per_chunk)
