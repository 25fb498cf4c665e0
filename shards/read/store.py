"""Reading a finished store, the same way for tars and Zarr: byte ranges → decode → rows of one array."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shards.errors import InvalidValue, ShardError
from shards.layout.bands import RECORD_VALUES
from shards.layout.patch import Patch
from shards.metadata.consistency import check_fit
from shards.metadata.index import Index
from shards.metadata.manifest import Manifest
from shards.read.checks import Verify, verify_mode
from shards.read.extents import Piece, Pieces
from shards.read.grouped import ROWS
from shards.runtime.threads import Threads


class Store:
    """A finished store, open for reading; safe to share between threads and with forked processes.

    Reading methods compare the stored bytes of records with their CRC-32C as `verify` says: by default, each record the
    first time that this store, or a forked copy of it, reads it. True and False, as in version 0.1, stand for `always`
    and `first`. Records that are kept in memory were compared when they were put there.

    A pickle of a store is its path and how it was opened, so that processes which are not forked open it anew. Records
    in memory do not go with it: see `memory_handle`.

    Attributes:
        folder: where it lies.
        manifest: what it holds.
        index: one row a patch; row i is patch i of every method here.
        num_threads: decode threads.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        num_threads: int | None = None,
        mapped: bool = True,
        compare: bool = True,
    ) -> None:
        """Open a store.

        Args:
            folder: directory of the store.
            num_threads: decode threads of `read_into`; default: the cores that this process may use.
            mapped: decode records of files in a memory file system where they lie, which is faster, but a file that is
                cut off meanwhile ends the process (SIGBUS). Files elsewhere are never mapped.
            compare: refuse a store whose manifest and index do not tell the same; without it they are only checked for
                what `read` relies on, for a caller that looks for what is wrong.

        Raises:
            UnfinishedStore: there is no manifest.
            CorruptShard: manifest, index and files do not fit together.
        """
        self.folder = Path(folder)
        self.manifest = Manifest.read(self.folder)
        self.index = Index.read(self.folder, self.manifest)
        check_fit(self.folder, self.manifest, self.index, compare=compare)
        self.num_threads = num_threads or len(os.sched_getaffinity(0))
        self._how = num_threads, mapped
        self._pieces = Pieces(self.folder, self.manifest, self.index, may_map=mapped)
        self._threads = Threads(self.num_threads, "decode")

    def __len__(self) -> int:
        return self.manifest.count

    def __reduce__(self) -> tuple[Any, ...]:
        return _open_again, (self.folder.absolute(), *self._how, self._pieces.identity)

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

    def read(self, i: int, *, verify: Verify | bool = "first") -> Patch:
        """Return patch i with its pixels and what is known of it.

        Args:
            i: row of the index; negative ones count from the end.
            verify: `first`, `always` or `never`, see `Store`.

        Raises:
            IndexError: there is no such row.
            CorruptShard: the record is damaged; the message names shard, key and what was expected.
        """
        if not -len(self) <= i < len(self):
            raise IndexError(f"patch {i} of a store of {len(self)}")
        i %= len(self)
        record = np.empty(RECORD_VALUES, np.uint16)
        self._pieces.decode(iter(self._pieces.plan(np.array([i]), verify_mode(verify))), record)
        return Patch(s2=record, **self.index.facts(i))

    def read_into(
        self, indices: ArrayLike, out: NDArray[np.uint16], *, verify: Verify | bool = "first"
    ) -> NDArray[np.uint16]:
        """Decode many records into the rows of a contiguous array with the decode threads, and return it.

        Args:
            indices: (n,) rows of the index, in any order, repeats allowed.
            out: C-contiguous uint16 of shape (n, 80000).
            verify: `first`, `always` or `never`, see `Store`.

        Raises:
            ValueError: `out` has another shape, type or layout.
            IndexError: an index is out of range.
            CorruptShard: a record is damaged; no thread writes to `out` any more.
        """
        rows, mode = self._rows(indices), verify_mode(verify)
        if out.shape != (len(rows), RECORD_VALUES) or out.dtype != np.uint16 or not out.flags.c_contiguous:
            raise ValueError(
                f"out is {out.dtype} of shape {out.shape}, "
                f"expected C-contiguous uint16 of shape ({len(rows)}, {RECORD_VALUES})"
            )
        grouped = self._pieces.grouped(rows, mode)
        if grouped is None:
            self._threads.run(partial(self._pieces.decode, out=out), self._pieces.plan(rows, mode))
        else:
            self._threads.run(partial(grouped.decode, out), range(0, len(rows), ROWS))
        return out

    def read_encoded(self, indices: ArrayLike, *, verify: Verify | bool = "first") -> list[bytes]:
        """Return the stored bytes of records: of each patch one piece in a tar store, three in a Zarr store.

        Args:
            indices: (n,) rows of the index.
            verify: `first`, `always` or `never`, see `Store`.

        Raises:
            IndexError: an index is out of range.
            CorruptShard: a record is cut off or, if it is compared, damaged.
        """
        plan, scratch = self._pieces.plan(self._rows(indices), verify_mode(verify)), self._pieces.scratch()
        return [bytes(self._pieces.encoded(piece, scratch)) for piece in plan]

    def read_encoded_into(
        self, indices: ArrayLike, out: NDArray[np.uint8], *, verify: Verify | bool = "first"
    ) -> NDArray[np.int64]:
        """Read the stored bytes of records into an array, contiguous, with the decode threads; decode nothing.

        Args:
            indices: (n,) rows of the index.
            out: C-contiguous (size,) uint8, at least `encoded_bytes(indices)` long.
            verify: `first`, `always` or `never`, see `Store`.

        Returns:
            The bytes of each piece, in order: (n,) int64 in a tar store, (3 · n,) in a Zarr store.

        Raises:
            ValueError: `out` is too small, or of another type or layout.
            IndexError: an index is out of range.
            CorruptShard: a record is cut off or, if it is compared, damaged; no thread writes to `out` any more.
        """
        rows = self._rows(indices)
        lengths = self._pieces.lengths[self._pieces.of(rows)].astype(np.int64)
        if out.ndim != 1 or out.dtype != np.uint8 or not out.flags.c_contiguous or len(out) < lengths.sum():
            raise ValueError(
                f"out is {out.dtype} of shape {out.shape}, "
                f"expected C-contiguous uint8 of at least {lengths.sum()} bytes"
            )
        memory, ends = memoryview(out), np.cumsum(lengths)

        def read(plan: Iterator[tuple[Piece, int, int]]) -> None:
            for piece, begin, end in plan:
                target = memory[begin:end]
                data = self._pieces.encoded(piece, target)
                if data.obj is not target.obj:  # It lies in shared memory.
                    target[:] = data

        plan = self._pieces.plan(rows, verify_mode(verify))
        self._threads.run(read, list(zip(plan, (ends - lengths).tolist(), ends.tolist(), strict=True)))
        return lengths

    def fetch(self, indices: ArrayLike, *, verify: Verify | bool = "first") -> None:
        """Read the stored bytes of records with the decode threads, and decode nothing.

        Rows that are to be kept in memory are there afterwards; of others, the files are in the page cache.

        Args:
            indices: (n,) rows of the index.
            verify: `first`, `always` or `never`, see `Store`.

        Raises:
            IndexError: an index is out of range.
            CorruptShard: a record is cut off or, if it is compared, damaged.
        """

        def fetch(plan: Iterator[Piece]) -> None:
            scratch = self._pieces.scratch()
            for piece in plan:
                self._pieces.encoded(piece, scratch)

        self._threads.run(fetch, self._pieces.plan(self._rows(indices), verify_mode(verify)))

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
            NotEnoughMemory: the rows need more than `memory_left`; no row is added.
        """
        rows = np.unique(self._rows(indices))
        self._pieces.keeping.want(self._pieces.of(rows), len(rows))

    def memory_left(self) -> int:
        """Return the bytes that `keep_in_memory` can still promise.

        That is what this process can take without being ended, less what rows that are to be kept but were not read yet
        will take, in whichever process they were promised.
        """
        return self._pieces.keeping.memory_left()

    def memory_handle(self) -> str:
        """Return what other processes of this user pass to `attach_memory`, to use one memory with this one.

        It holds as long as this store is open.
        """
        return self._pieces.keeping.open().handle

    def attach_memory(self, handle: str) -> None:
        """Use the memory of another process: what one of them has read is there for all, and rows to be kept likewise.

        It stays until the last of them closes it or ends, in whatever way.

        Args:
            handle: from `memory_handle` in a process that has the same store open.

        Raises:
            ShardError: the handle is not that of this store's records in a living process of this user.
            ValueError: this store has memory of its own already.
        """
        self._pieces.keeping.open(handle)

    def _rows(self, indices: ArrayLike) -> NDArray[np.int64]:
        rows = np.asarray(indices)
        if rows.size and rows.dtype.kind not in "iu":
            raise InvalidValue(f"rows are of type {rows.dtype}, expected integers")
        if rows.size and (rows.min() < 0 or rows.max() >= len(self)):
            raise IndexError(f"rows {rows.min()} to {rows.max()} of a store of {len(self)}")
        return rows.astype(np.int64, copy=False)


def _open_again(folder: Path, num_threads: int | None, mapped: bool, identity: bytes) -> Store:
    """Open what was pickled: row numbers that came with it mean nothing in another store."""
    store = Store(folder, num_threads=num_threads, mapped=mapped)
    if store._pieces.identity != identity:
        store.close()
        raise ShardError(f"{folder} holds another store than when it was pickled; open it anew")
    return store
