"""Reading a finished store, the same way for tars and Zarr: byte ranges → decode → rows of one array."""

import os
import resource
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from crc32c import crc32c
from numpy.typing import ArrayLike, NDArray

from shards.bands import RECORD_VALUES
from shards.classes import decode_labels
from shards.codec import get_codec
from shards.errors import CorruptShard
from shards.index import PARTS, Index
from shards.manifest import INDEX, FileInfo, Manifest
from shards.patch import Patch


class Store:
    """A finished store, open for reading; safe to share between threads.

    Attributes:
        folder: where it lies.
        manifest: what it holds.
        index: one row a patch; row i is patch i of every method here.
    """

    def __init__(self, folder: str | os.PathLike[str], *, num_threads: int | None = None) -> None:
        """Open a store.

        Args:
            folder: directory of the store.
            num_threads: decode threads of `read_into`; default: the cores that this process may use.

        Raises:
            UnfinishedStore: there is no manifest.
            CorruptShard: manifest, index and files do not fit together.
        """
        self.folder = Path(folder)
        self.manifest = Manifest.read(self.folder)
        self.index = Index.read(self.folder, self.manifest)
        self.num_threads = num_threads or len(os.sched_getaffinity(0))
        self._codec = get_codec(self.manifest.codec)
        self._parts = list(PARTS[self.manifest.format].items())
        self._ranges = [
            tuple(self.index.column(f"{part}_{what}") for what in ("offset", "length", "crc32c"))
            for part, _ in self._parts
        ]
        codes, names = self.index.codes("shard")
        shard_of_name = {shard.name: i for i, shard in enumerate(self.manifest.shards)}
        unknown = [name for name in names if name not in shard_of_name]
        if unknown:
            raise CorruptShard(f"{self.folder / INDEX} names shard {unknown[0]}, which the manifest does not list")
        self._shard = np.asarray([shard_of_name[name] for name in names], np.int32)[codes]
        self._descriptors: dict[tuple[int, int], int] = {}
        self._lock = threading.Lock()
        self._scratch = threading.local()
        self._pool: ThreadPoolExecutor | None = None
        _allow_open_files(len(self.manifest.shards) * len(self._parts))

    def __len__(self) -> int:
        return self.manifest.count

    def __enter__(self) -> "Store":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the decode threads and close all files; closing twice is harmless."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True)
        with self._lock:
            descriptors = list(self._descriptors.values())
            self._descriptors.clear()
        for descriptor in descriptors:
            os.close(descriptor)

    def read(self, i: int, *, verify: bool = False) -> Patch:
        """Return patch i with its pixels and what is known of it.

        Args:
            i: row of the index; negative ones count from the end.
            verify: compare the stored bytes with their CRC-32C.

        Raises:
            IndexError: there is no such row.
            CorruptShard: the record is damaged; the message names shard, key and what was expected.
        """
        if not -len(self) <= i < len(self):
            raise IndexError(f"patch {i} of a store of {len(self)}")
        i %= len(self)
        record = np.empty(RECORD_VALUES, np.uint16)
        self._read_record(i, record, verify)
        row: dict[str, Any] = {name: self.index.table[name][i].as_py() for name in _PATCH_COLUMNS}
        date: datetime = row["date"]
        return Patch(
            key=row["key"],
            s2=record,
            labels=decode_labels(row["label_mask"]),
            split=row["split"],
            country=row["country"],
            date=date,
            epsg=row["epsg"],
            ulx=row["ulx"],
            uly=row["uly"],
            seasonal_snow=row["seasonal_snow"],
            cloud_or_shadow=row["cloud_or_shadow"],
        )

    def read_into(self, indices: ArrayLike, out: NDArray[np.uint16], *, verify: bool = False) -> NDArray[np.uint16]:
        """Decode many records into the rows of a contiguous array with the decode threads, and return it.

        Args:
            indices: (n,) rows of the index, in any order, repeats allowed.
            out: C-contiguous uint16 of shape (n, 80000).
            verify: compare the stored bytes with their CRC-32C.

        Raises:
            ValueError: `out` has another shape, type or layout.
            IndexError: an index is out of range.
            CorruptShard: a record is damaged.
        """
        rows = np.asarray(indices, np.int64)
        if out.shape != (len(rows), RECORD_VALUES) or out.dtype != np.uint16 or not out.flags.c_contiguous:
            raise ValueError(
                f"out is {out.dtype} of shape {out.shape}, "
                f"expected C-contiguous uint16 of shape ({len(rows)}, {RECORD_VALUES})"
            )
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self)):
            raise IndexError(f"rows {rows.min()} to {rows.max()} of a store of {len(self)}")
        places = np.array_split(np.arange(len(rows)), min(self.num_threads, max(1, len(rows))))
        if len(places) == 1:
            self._read_rows(rows, out, places[0], verify)
            return out
        pool = self._decode_pool()
        for future in [pool.submit(self._read_rows, rows, out, place, verify) for place in places]:
            future.result()
        return out

    def verify(self, i: int) -> None:
        """Check the stored bytes of patch i against their CRC-32C and decode them.

        Raises:
            CorruptShard: the record is damaged.
        """
        self._read_record(i, np.empty(RECORD_VALUES, np.uint16), True)

    def _decode_pool(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.num_threads, "decode")
            return self._pool

    def _read_rows(
        self, rows: NDArray[np.int64], out: NDArray[np.uint16], places: NDArray[np.int64], verify: bool
    ) -> None:
        for place in places.tolist():
            self._read_record(int(rows[place]), out[place], verify)

    def _read_record(self, row: int, out: NDArray[np.uint16], verify: bool) -> None:
        shard = int(self._shard[row])
        for part, (_, values) in enumerate(self._parts):
            offsets, lengths, checksums = self._ranges[part]
            offset, length = int(offsets[row]), int(lengths[row])
            data = self._buffer(length)
            count = os.preadv(self._descriptor(shard, part), [data], offset)
            try:
                if count != length:
                    raise CorruptShard(f"ends after {count} bytes, expected {length} at offset {offset}")
                if verify and crc32c(data) != (expected := int(checksums[row])):
                    raise CorruptShard(f"has CRC-32C {crc32c(data):08x}, expected {expected:08x}")
                self._codec.decode_into(data, out[values])
            except CorruptShard as err:
                path = self.folder / self.manifest.shards[shard].files[part].path
                raise CorruptShard(f"{path}: the record of {self.index.key(row)} {err}") from err

    def _buffer(self, length: int) -> memoryview:
        """Return this thread's scratch memory, so that a read allocates nothing."""
        buffer: memoryview | None = getattr(self._scratch, "buffer", None)
        if buffer is None or len(buffer) < length:
            buffer = memoryview(bytearray(max(length, 2 * RECORD_VALUES + 64)))
            self._scratch.buffer = buffer
        return buffer[:length]

    def _descriptor(self, shard: int, part: int) -> int:
        descriptor = self._descriptors.get((shard, part))
        if descriptor is None:
            with self._lock:
                descriptor = self._descriptors.get((shard, part))
                if descriptor is None:
                    descriptor = _open_checked(self.folder, self.manifest.shards[shard].files[part])
                    self._descriptors[shard, part] = descriptor
        return descriptor


_PATCH_COLUMNS = (
    "key",
    "split",
    "label_mask",
    "country",
    "date",
    "epsg",
    "ulx",
    "uly",
    "seasonal_snow",
    "cloud_or_shadow",
)


def _open_checked(folder: Path, info: FileInfo) -> int:
    path = folder / info.path
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise CorruptShard(f"{path} is absent, expected {info.size_bytes} bytes") from None
    size = os.fstat(descriptor).st_size
    if size != info.size_bytes:
        os.close(descriptor)
        raise CorruptShard(f"{path} has {size} bytes, expected {info.size_bytes}")
    return descriptor


def _allow_open_files(count: int) -> None:
    """Raise the soft limit of open files where a store has more of them than the usual 1,024 allow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 512
    if soft != resource.RLIM_INFINITY and soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
