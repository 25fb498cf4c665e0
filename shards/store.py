"""Reading a finished store, the same way for tars and Zarr: byte ranges → decode → rows of one array."""

import os
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shards.bands import RECORD_VALUES
from shards.classes import decode_labels
from shards.errors import NotEnoughMemory
from shards.grouped import ROWS
from shards.index import Index
from shards.kept import FOREIGN
from shards.manifest import Manifest
from shards.memory import available_bytes
from shards.patch import Patch
from shards.pieces import Piece, Pieces
from shards.threads import Threads


class Store:
    """A finished store, open for reading; safe to share between threads.

    Attributes:
        folder: where it lies.
        manifest: what it holds.
        index: one row a patch; row i is patch i of every method here.
        num_threads: decode threads.
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
        self._pieces = Pieces(self.folder, self.manifest, self.index)
        self._threads = Threads(self.num_threads, "decode")

    def __len__(self) -> int:
        return self.manifest.count

    def __enter__(self) -> "Store":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the decode threads, close all files and let go of shared memory; closing twice is harmless."""
        self._threads.close()
        self._pieces.close()

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
        self._pieces.decode(iter(self._pieces.plan(np.array([i]))), record, verify)
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
            baseline=row["baseline"],
            nodata_pixels=row["nodata_pixels"],
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
            CorruptShard: a record is damaged; no thread writes to `out` any more.
        """
        rows = self._rows(indices)
        if out.shape != (len(rows), RECORD_VALUES) or out.dtype != np.uint16 or not out.flags.c_contiguous:
            raise ValueError(
                f"out is {out.dtype} of shape {out.shape}, "
                f"expected C-contiguous uint16 of shape ({len(rows)}, {RECORD_VALUES})"
            )
        grouped = None if verify else self._pieces.grouped(rows)
        if grouped is None:
            self._threads.run(partial(self._pieces.decode, out=out, verify=verify), self._pieces.plan(rows))
        else:
            self._threads.run(partial(grouped.decode, out), range(0, len(rows), ROWS))
        return out

    def read_encoded(self, indices: ArrayLike, *, verify: bool = False) -> list[bytes]:
        """Return the stored bytes of records: of each patch one piece in a tar store, three in a Zarr store.

        Args:
            indices: (n,) rows of the index.
            verify: compare them with their CRC-32C.

        Raises:
            IndexError: an index is out of range.
            CorruptShard: a record is cut off or, with `verify`, damaged.
        """
        plan, scratch = self._pieces.plan(self._rows(indices)), self._pieces.scratch()
        return [bytes(self._pieces.encoded(piece, scratch, verify)) for piece in plan]

    def fetch(self, indices: ArrayLike, *, verify: bool = False) -> None:
        """Read the stored bytes of records with the decode threads, and decode nothing.

        Rows that are to be kept in memory are there afterwards; of others, the files are in the page cache.

        Args:
            indices: (n,) rows of the index.
            verify: compare them with their CRC-32C.

        Raises:
            IndexError: an index is out of range.
            CorruptShard: a record is cut off or, with `verify`, damaged.
        """

        def fetch(plan: Iterator[Piece]) -> None:
            scratch = self._pieces.scratch()
            for piece in plan:
                self._pieces.encoded(piece, scratch, verify)

        self._threads.run(fetch, self._pieces.plan(self._rows(indices)))

    def will_need(self, indices: ArrayLike) -> None:
        """Let the kernel read the files of these rows' shards into the page cache, in sequence, and return at once.

        Rows that are in shared memory need none.

        Raises:
            IndexError: an index is out of range.
            CorruptShard: a file is absent, or of another size than the manifest says.
        """
        rows = self._rows(indices)
        self._pieces.files.will_need(self._pieces.shard[rows[~self._pieces.are_kept(rows)]])

    def will_read(self, indices: ArrayLike) -> None:
        """Let the kernel read the records of these rows into the page cache, and return at once.

        A disk serves many requests at a time, but threads that wait for what they read make one each. Records that are
        in memory need none.

        Raises:
            IndexError: an index is out of range.
            CorruptShard: a file is absent, or of another size than the manifest says.
        """
        rows = self._rows(indices)
        self._pieces.will_read(rows[~self._pieces.are_kept(rows)])

    def shard_of(self, indices: ArrayLike) -> NDArray[np.int32]:
        """Return the shards of rows as their numbers in the manifest, (n,) int32.

        Raises:
            IndexError: an index is out of range.
        """
        return self._pieces.shard[self._rows(indices)]

    def encoded_bytes(self, indices: ArrayLike) -> int:
        """Return the stored bytes of rows, which is what keeping them in memory takes.

        Raises:
            IndexError: an index is out of range.
        """
        return int(self._pieces.lengths[self._pieces.of(self._rows(indices))].sum(dtype=np.int64))

    def keep_in_memory(self, indices: ArrayLike) -> None:
        """Keep the stored bytes of these rows in memory from when they are first read, by whichever method.

        Reads of them touch no file from then on. Memory is taken as they are read; `close` frees it. To keep one copy
        for several processes, see `memory_handle`.

        Args:
            indices: (n,) rows of the index; they add to those of earlier calls.

        Raises:
            IndexError: an index is out of range.
            NotEnoughMemory: the rows need more than is available; no row is added.
        """
        rows = np.unique(self._rows(indices))
        pieces = self._pieces.of(rows)
        if (kept := self._pieces.kept) is not None:
            pieces = pieces[kept.state[pieces] == FOREIGN]
        needed, available = int(self._pieces.lengths[pieces].sum(dtype=np.int64)), available_bytes()
        if needed > available:
            raise NotEnoughMemory(
                f"{self.folder}: keeping {len(rows):,} records takes {needed:,} bytes of memory, "
                f"but {available:,} are available"
            )
        self._pieces.make_kept().want(pieces)

    def memory_handle(self) -> str:
        """Return what other processes of this user pass to `attach_memory`, to use one memory with this one.

        It holds as long as this store is open.
        """
        return self._pieces.make_kept().handle

    def attach_memory(self, handle: str) -> None:
        """Use the memory of another process: what one of them has read is there for all, and rows to be kept likewise.

        It stays until the last of them closes it or ends, in whatever way.

        Args:
            handle: from `memory_handle` in a process that has the same store open.

        Raises:
            ShardError: the handle is not that of this store's records in a living process of this user.
            ValueError: this store has memory of its own already.
        """
        self._pieces.make_kept(handle)

    def _rows(self, indices: ArrayLike) -> NDArray[np.int64]:
        rows = np.asarray(indices, np.int64)
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self)):
            raise IndexError(f"rows {rows.min()} to {rows.max()} of a store of {len(self)}")
        return rows


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
    "baseline",
    "nodata_pixels",
)
