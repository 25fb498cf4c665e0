"""Reading a finished store, the same way for tars and Zarr: byte ranges → decode → rows of one array."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shards.errors import InvalidValue, ShardError
from shards.layout.patch import Patch
from shards.layout.record import S2
from shards.metadata.consistency import check_fit
from shards.metadata.index import Index
from shards.metadata.manifest import MANIFEST, MANIFEST_BYTES, Manifest
from shards.metadata.place import check_outside_stores
from shards.read.ahead import ReadAhead
from shards.read.checks import Verify, verify_mode
from shards.read.extents import Extents, files_of
from shards.read.groups import Readers
from shards.read.reader import ROWS
from shards.read.sequence import PatchSequence
from shards.read.sharing import MemorySharing
from shards.runtime.cores import num_cores
from shards.runtime.threads import Threads
from shards.storage.base import RangeTable, Storage
from shards.storage.places import storage_of
from shards.storage.remote.address import place_of
from shards.storage.shared_cache import SharedCache
from shards.text.kinds import check_kind, row_number

Number = TypeVar("Number", bound=np.generic)
"""Type of the pixels of a record or a group."""


class Store(MemorySharing, ReadAhead, PatchSequence):
    """A finished store, open for reading; safe to share between threads and with forked processes.

    Reading methods compare the stored bytes of records with their CRC-32C as `verify` says: by default, each record the
    first time that this store, or a forked copy of it, reads it. True and False, as in version 0.1, stand for `always`
    and `first`. Records that are kept in memory were compared when they were put there.

    A pickle of a store is its path and how it was opened, so that processes which are not forked open it anew. Records
    in memory do not go with it: see `memory_handle`.

    Methods that take the name of a group read the Sentinel-2 record, `s2`, by default; `manifest.layout` tells which
    further groups there are. They raise ValueError (`InvalidValue`) where there is no such group.

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
        storage: Storage | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        cache_bytes: int | None = None,
    ) -> None:
        """Open a store.

        Args:
            folder: directory of the store, or its address, such as `s3://bucket/store`.
            num_threads: decode threads of `read_into`; default: the cores that this process may use.
            mapped: decode records of files in a memory file system where they lie, which is faster, but a file that is
                cut off meanwhile ends the process (SIGBUS). Files elsewhere are never mapped, whatever this says.
            compare: refuse a store whose manifest and index do not tell the same; without it they are only checked for
                what `read` relies on, for a caller that looks for what is wrong.
            storage: what holds manifest, index and records, if not the folder; picklable if the store is pickled.
            cache_dir: folder in which records of an address are kept, for later runs and for other processes; default:
                a temporary one of this process.
            cache_bytes: bytes that it may take up; default: half of the free space, at most 16 GiB.

        Raises:
            InvalidValue: there is no thread, the address is none, obstore is absent, or no cache can be there.
            UnfinishedStore: there is no manifest.
            CorruptShard: manifest, index and files do not fit together.
        """
        if num_threads is not None and not (isinstance(num_threads, int) and num_threads >= 1):
            raise InvalidValue(f"num_threads is {num_threads!r:.60}, expected at least 1, or None for the cores")
        self.folder = place_of(folder)
        cache = None if cache_dir is None else Path(cache_dir)
        if cache is not None:
            check_outside_stores(cache)
        place = storage or storage_of(self.folder, may_map=mapped, cache_dir=cache, cache_bytes=cache_bytes)
        self._storage = place
        self.manifest = Manifest.read(self.folder, place)
        self.index = Index.read(self.folder, self.manifest, place)
        check_fit(self.folder, self.manifest, self.index, compare=compare)
        self.num_threads = num_threads or num_cores()
        self._how = {
            "num_threads": num_threads,
            "mapped": mapped,
            "storage": storage,
            "cache_dir": cache,
            "cache_bytes": cache_bytes,
        }
        # The index holds checksums of all records.
        self._identity = hashlib.sha256(str(self.manifest.files).encode()).digest()
        self._extents = Extents.of(self.manifest, self.index)
        self._files = place.open(files_of(self.manifest), self._table)
        self._cache = SharedCache(self.folder, self._identity, self._extents.length)
        self._readers = Readers(self.manifest, self.index, self._extents, self._files, self._cache)
        self._threads = Threads(self.num_threads, "decode")

    def _table(self) -> RangeTable:
        return RangeTable(self._identity, self._extents.all(), self._extents.crc32c)

    def manifest_sha256(self) -> str:
        """Return the SHA-256 of the file of the manifest in hexadecimal.

        Raises:
            OSError: it cannot be read.
        """
        return hashlib.sha256(self._storage.read(MANIFEST, MANIFEST_BYTES)).hexdigest()

    def read_file(self, name: str, at_most: int) -> bytes:
        """Return the content of a small file of the store.

        Raises:
            OSError: it is absent (FileNotFoundError), cannot be read, or has more than `at_most` bytes (EFBIG).
        """
        return self._storage.read(name, at_most)

    def __reduce__(self) -> tuple[Any, ...]:
        return _open_again, (self.folder.absolute(), self._how, self._identity)

    def __enter__(self) -> "Store":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the decode threads, close all files and release shared memory; closing twice is harmless."""
        self._files.give_up()
        self._threads.close()
        self._files.close()
        self._cache.close()

    def read(self, i: int, *, verify: Verify | bool = "first", groups: Sequence[str] | None = None) -> Patch:
        """Return patch i with its pixels and what is known of it.

        Args:
            i: row of the index; negative ones count from the end.
            verify: `first`, `always` or `never`, see `Store`.
            groups: names of the further groups to read; default: all that the store has.

        Raises:
            IndexError: there is no such row.
            InvalidValue: it is no integer, or there is no such group.
            CorruptShard: the record is damaged; the message names shard, key and what was expected.
        """
        i, found = row_number(i, len(self)), {}
        for name in (S2, *self._readers.named(groups)):
            reader, room = self._readers.of(name), self._readers.room(name, 1)
            reader.decode(reader.locate(np.array([i]), verify_mode(verify)), room, iter([0]))
            found[name] = room[0]
        return Patch(s2=found.pop(S2), groups=found, **self.index.facts(i))

    def read_into(
        self, indices: ArrayLike, out: NDArray[Number], *, verify: Verify | bool = "first", group: str = S2
    ) -> NDArray[Number]:
        """Decode many records into the rows of a contiguous array with the decode threads, and return it.

        Args:
            indices: (n,) rows of the index, in any order, repeats allowed.
            out: C-contiguous uint16 of shape (n, 80000); for a group (n, bands, rows, columns) of its type.
            verify: `first`, `always` or `never`, see `Store`.
            group: name of a further group to read instead of the Sentinel-2 record.

        Raises:
            ValueError: `out` has another shape, type or layout.
            IndexError: an index is out of range.
            CorruptShard: a record is damaged; no thread writes to `out` any more.
        """
        rows, mode = self._extents.rows(indices), verify_mode(verify)
        self._readers.check_room(group, len(rows), out)
        reader = self._readers.of(group)
        batch = reader.locate(rows, mode)
        self._threads.run(partial(reader.decode, batch, out), range(0, len(rows), ROWS))
        return out

    def read_encoded(self, indices: ArrayLike, *, verify: Verify | bool = "first", group: str = S2) -> list[bytes]:
        """Return the stored bytes of records: of each patch one part in a tar store, three in a Zarr store.

        Args:
            indices: (n,) rows of the index.
            verify: `first`, `always` or `never`, see `Store`.
            group: name of a further group, which is one part, to read instead of the Sentinel-2 record.

        Raises:
            IndexError: an index is out of range.
            CorruptShard: a record is cut off or, if it is compared, damaged.
        """
        reader = self._readers.of(group)
        batch = reader.locate(self._extents.rows(indices), verify_mode(verify), encoded=True)
        return [reader.load(batch, i).tobytes() for i in range(len(batch))]

    def read_encoded_into(
        self, indices: ArrayLike, out: NDArray[np.uint8], *, verify: Verify | bool = "first", group: str = S2
    ) -> NDArray[np.int64]:
        """Read the stored bytes of records into an array, contiguous, with the decode threads; decode nothing.

        Args:
            indices: (n,) rows of the index.
            out: C-contiguous (size,) uint8, at least `encoded_bytes(indices)` long.
            verify: `first`, `always` or `never`, see `Store`.
            group: name of a further group to read instead of the Sentinel-2 record.

        Returns:
            The bytes of each part, in order: (n,) int64 in a tar store, (3 · n,) in a Zarr store.

        Raises:
            ValueError: `out` is too small, or of another type or layout.
            IndexError: an index is out of range.
            CorruptShard: a record is cut off or, if it is compared, damaged; no thread writes to `out` any more.
        """
        reader = self._readers.of(group)
        batch = reader.locate(self._extents.rows(indices), verify_mode(verify), encoded=True)
        lengths = batch.ranges.length
        check_kind("out", out, np.ndarray)
        if out.ndim != 1 or out.dtype != np.uint8 or not out.flags.c_contiguous or len(out) < lengths.sum():
            raise ValueError(
                f"out is {out.dtype} of shape {out.shape}, "
                f"expected C-contiguous uint8 of at least {lengths.sum()} bytes"
            )
        ends = np.cumsum(lengths).tolist()
        buffers = [out[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]

        def read(parts: Iterator[int]) -> None:
            for i in parts:
                if (content := reader.load(batch, i, buffers[i])) is not buffers[i]:  # It lies in shared memory.
                    np.copyto(buffers[i], content)

        self._threads.run(read, range(len(batch)))
        return lengths

    def fetch(self, indices: ArrayLike, *, verify: Verify | bool = "first", group: str = S2) -> None:
        """Read the stored bytes of records with the decode threads, and decode nothing.

        Rows that are to be kept in memory are there afterwards; others are in the page cache or, from object storage,
        in the cache on disk.

        Args:
            indices: (n,) rows of the index.
            verify: `first`, `always` or `never`, see `Store`.
            group: name of a further group to read instead of the Sentinel-2 record.

        Raises:
            IndexError: an index is out of range.
            CorruptShard: a record is cut off or, if it is compared, damaged.
        """
        reader = self._readers.of(group)
        batch = reader.locate(self._extents.rows(indices), verify_mode(verify), encoded=True)

        def fetch(parts: Iterator[int]) -> None:
            for i in parts:
                reader.bring(batch, i)

        self._threads.run(fetch, range(len(batch)))

    def shard_of(self, indices: ArrayLike) -> NDArray[np.int32]:
        """Return the shards of rows as their numbers in the manifest, (n,) int32.

        Raises:
            IndexError: an index is out of range.
        """
        return self._extents.shard(self._extents.rows(indices))

    def encoded_bytes(self, indices: ArrayLike, *, group: str = S2) -> int:
        """Return the stored bytes of rows, which is what keeping them in memory takes.

        Raises:
            IndexError: an index is out of range.
        """
        extents = self._readers.of(group).extents
        return int(extents.length[extents.numbers(extents.rows(indices))].sum(dtype=np.int64))


def _open_again(folder: Path, how: dict[str, Any], identity: bytes) -> Store:
    """Open what was pickled: row numbers that came with it mean nothing in another store."""
    store = Store(folder, **how)
    if store._identity != identity:
        store.close()
        raise ShardError(f"{folder} holds another store than when it was pickled; open it anew")
    return store
