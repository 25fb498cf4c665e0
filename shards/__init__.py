"""The on-disk format of BigEarthNet shards: `SPEC.md` in this folder is its specification.

    import shards
    store = shards.open("DIR")
    patch = store.read(0)                     # patch.b10, patch.b20, patch.b60, patch.group("name"), patch.labels, …
    out = numpy.empty((256, shards.RECORD_VALUES), numpy.uint16)
    store.read_into(range(256), out)          # decoded by a thread pool

Constants:

- `BANDS`, `GROUPS`: names of the bands in the order of a record; the bands of a resolution together, each with its shape.
- `RECORD_VALUES`, `RECORD_BYTES`: uint16 values of a record, and bytes of them.
- `CLASSES`, `SPLITS`: names of the 19 classes in the order of labels, and of the splits in the order of rows.
- `CODECS`: codecs of records by name.
- `VERIFY`, `Verify`: when stored bytes are compared with their CRC-32C, as values and as a type; see `Store`.
"""

import os

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
