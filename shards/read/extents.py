"""From rows of the index to pixels: the stored parts of patches, from files or shared memory, read and decoded.

A part of a patch is called a piece: one record in a tar, one inner chunk of each of three Zarr arrays. Pieces are
numbered through the index: piece = row · parts + part.
"""

import hashlib
import os
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
from crc32c import crc32c
from numpy.typing import NDArray

from shards.codec.bitpack.codec import Bitpack
from shards.codec.blosc import Blosc
from shards.codec.raw import Raw
from shards.codec.registry import get_codec
from shards.errors import CorruptShard
from shards.layout.bands import RECORD_VALUES
from shards.metadata.index import PARTS, Index
from shards.metadata.manifest import Manifest
from shards.read.checks import Verify, unchecked
from shards.read.files import ShardFiles
from shards.read.grouped import ROWS, Checked, Grouped, PackedInFiles, PackedInMemory, RawRecords
from shards.storage.mapped import MappedFile
from shards.storage.shared import FOREIGN, KEPT, KeptRecords
from shards.storage.shared_budget import Keeping

Piece: TypeAlias = tuple[int, int, int, int, int, int, int, bool]
"""Number; first and last value + 1 in the output; descriptor of the file, -1 if it is in shared memory; offset and
length in the file; place in shared memory, -1 if it is not to be kept; whether to compare it with its CRC-32C."""


class Pieces:
    """The pieces of a store; safe to share between threads, and with forked processes.

    Attributes:
        files: the files that hold them.
        shard: (patches,) int32, the shard of each patch by its number in the manifest.
        lengths: (pieces,) int32, encoded bytes.
        keeping: shared memory that some of them are kept in.
        identity: 32 bytes that only stores with the same records share.
    """

    def __init__(self, folder: Path, manifest: Manifest, index: Index, *, may_map: bool) -> None:
        """Take byte ranges and checksums from the index.

        Args:
            folder: directory of the store.
            manifest: of the store.
            index: of the store.
            may_map: map the files that lie in a memory file system.

        Raises:
            CorruptShard: the index does not fit the manifest.
        """
        self._index = index
        self._codec = get_codec(manifest.codec)
        parts = PARTS[manifest.format]
        self._num_parts = len(parts)
        self._begin = np.array([values.start for values in parts.values()])
        self._end = np.array([values.stop for values in parts.values()])
        self._offsets, self.lengths, self._checksums = (
            np.stack([index.column(f"{part}_{what}") for part in parts], axis=1).ravel()
            for what in ("offset", "length", "crc32c")
        )
        self._places = np.cumsum(self.lengths, dtype=np.int64) - self.lengths
        self._checked = unchecked(len(self.lengths))
        self._scratch = threading.local()
        self.shard = index.shard_numbers(manifest)
        self.files = ShardFiles(folder, manifest.shards, self._num_parts, may_map=may_map)
        # The index holds checksums of all records.
        self.identity = hashlib.sha256(str(manifest.files).encode()).digest()
        self.keeping = Keeping(folder, self.identity, self.lengths)

    def of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the numbers of the pieces of rows, (n · parts,) int64, patch by patch."""
        return (rows[:, None] * self._num_parts + np.arange(self._num_parts)).ravel()

    def plan(self, rows: NDArray[np.int64], verify: Verify) -> list[Piece]:
        """Return what there is to do for rows, patch by patch, and open the files that it takes.

        Raises:
            CorruptShard: a file is absent, or of another size than the manifest says.
        """
        pieces = self.of(rows)
        out = np.arange(len(rows))[:, None] * RECORD_VALUES
        begin, end = (out + self._begin).ravel(), (out + self._end).ravel()
        if (kept := self.keeping.records) is None:
            descriptors = self.files.descriptors(self.shard[rows])
            places = np.full(len(pieces), -1)
        else:
            states = kept.state[pieces]
            places = np.where(states == FOREIGN, -1, self._places[pieces])
            descriptors = np.full((len(rows), self._num_parts), -1)
            unread = (states != KEPT).reshape(-1, self._num_parts).any(axis=1)
            descriptors[unread] = self.files.descriptors(self.shard[rows[unread]])
        self.files.unmap_cut_off(descriptors)
        offsets, lengths, due = self._offsets[pieces], self.lengths[pieces], self._due(pieces, verify)
        columns = (pieces, begin, end, descriptors.ravel(), offsets, lengths, places, due)
        # Python's integers, made here at once, spare the loop over the pieces NumPy's.
        return list(zip(*(column.tolist() for column in columns), strict=True))

    def decode(self, plan: Iterator[Piece], out: NDArray[np.uint16]) -> None:
        """Read pieces and decode them into an array of shape (n, 80000).

        Raises:
            CorruptShard: a record is damaged; the message names file and key.
        """
        values = out.reshape(-1)
        raw = values.view(np.uint8) if isinstance(self._codec, Raw) else None
        scratch = self.scratch()
        decode_into = self._codec.decode_into
        for piece in plan:
            _, begin, end, descriptor, _, _, _, _ = piece
            data: NDArray[np.uint8] | memoryview | None = self._mapped(piece)
            if raw is not None and descriptor >= 0:
                target = raw[2 * begin : 2 * end]
                if data is None:
                    self._read(piece, memoryview(target))
                else:
                    np.copyto(target, data)
                continue
            if data is None:
                data = self.encoded(piece, scratch)
            try:
                decode_into(data, values[begin:end])
            except CorruptShard as err:
                raise self._damaged(piece[0], err) from err

    def scratch(self) -> memoryview:
        """Return this thread's memory for any one piece, so that a read allocates nothing."""
        buffer: memoryview | None = getattr(self._scratch, "buffer", None)
        if buffer is None:
            buffer = self._scratch.buffer = memoryview(bytearray(self.lengths.max(initial=0)))
        return buffer

    def encoded(self, piece: Piece, scratch: memoryview) -> memoryview:
        """Return a view of the encoded bytes of a piece, in shared memory or else in `scratch`.

        Raises:
            CorruptShard: they are not all there, or differ from their CRC-32C; the message names file and key.
        """
        _, _, _, descriptor, _, length, place, due = piece
        if descriptor >= 0:
            data = scratch[:length]
            self._read(piece, data)
        else:
            data = self._open_memory().data[place : place + length]
            if due:
                self._check(piece[0], data)
        return data

    def are_kept(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which rows are wholly in shared memory, (n,) bool."""
        if (kept := self.keeping.records) is None:
            return np.zeros(len(rows), np.bool_)
        whole: NDArray[np.bool_] = (kept.state[self.of(rows)] == KEPT).reshape(-1, self._num_parts).all(axis=1)
        return whole

    def will_read(self, rows: NDArray[np.int64]) -> None:
        """Let the kernel read the pieces of rows into the page cache.

        Raises:
            CorruptShard: a file is absent, or of another size than the manifest says.
        """
        pieces = self.of(rows)
        descriptors = self.files.descriptors(self.shard[rows]).ravel()
        self.files.will_read(descriptors, self._offsets[pieces], self.lengths[pieces])

    def grouped(self, rows: NDArray[np.int64], verify: Verify) -> Grouped | None:
        """Return where records are that can be decoded several in a call; None if they cannot.

        They can if the codec knows how, none has to be compared with its checksum, and all of them are in shared
        memory, or all in mapped files, or, of `bitpack`, all in files and none is to be kept.

        Raises:
            CorruptShard: a file is absent, or of another size than the manifest says.
        """
        if isinstance(self._codec, Blosc):
            return None
        pieces = self.of(rows)
        due, lengths = self._due(pieces, verify), self.lengths[pieces].astype(np.int64)
        descriptors = None
        owners: Sequence[KeptRecords | MappedFile]
        if (kept := self.keeping.records) is not None:
            owners = [kept] * len(pieces) if self.are_kept(rows).all() else []
            begin = self._places[pieces]
        else:
            descriptors = self.files.descriptors(self.shard[rows]).ravel()
            self.files.unmap_cut_off(descriptors)
            owners, begin = self.files.mapped_files(descriptors), self._offsets[pieces]
        decode_one = partial(self._decode_one, rows)
        # What a file never held is left to `decode`, which says what is wrong. `begin + lengths` could wrap.
        sizes = np.array([len(owner.bytes) for owner in owners])
        if not owners or not ((begin >= 0) & (lengths >= 0) & (begin <= sizes - lengths)).all():
            if isinstance(self._codec, Bitpack) and descriptors is not None and not due.any():
                return PackedInFiles(descriptors, begin, lengths, decode_one)
            return None
        found: Grouped
        memories, begins, ends = [owner.bytes for owner in owners], begin.tolist(), (begin + lengths).tolist()
        if isinstance(self._codec, Raw):
            found = RawRecords(memories, begins, ends)
        else:
            addresses = np.array([owner.address for owner in owners], np.uint64) + begin.astype(np.uint64)
            found = PackedInMemory(list(owners), addresses, lengths, decode_one)
        if not due.any():
            return found

        numbers = np.where(due, pieces, -1).tolist()

        def check(start: int) -> None:
            for i in range(start * self._num_parts, min((start + ROWS) * self._num_parts, len(numbers))):
                if (number := numbers[i]) >= 0:
                    self._check(number, memories[i][begins[i] : ends[i]])

        return Checked(found, check)

    def _decode_one(self, rows: NDArray[np.int64], i: int, out: NDArray[np.uint16]) -> None:
        self.decode(iter(self.plan(rows[i : i + 1], "never")), out)

    def close(self) -> None:
        """Close all files and let go of shared memory; closing twice is harmless."""
        self.files.close()
        self.keeping.close()

    def _due(self, pieces: NDArray[np.int64], verify: Verify) -> NDArray[np.bool_]:
        """Return which pieces have to be compared with their checksums, (pieces,) bool.

        Those in shared memory were, by the process that put them there.
        """
        if verify != "first":
            return np.full(len(pieces), verify == "always")
        due: NDArray[np.bool_] = ~self._checked[pieces]
        return due if (kept := self.keeping.records) is None else due & (kept.state[pieces] != KEPT)

    def _mapped(self, piece: Piece) -> NDArray[np.uint8] | None:
        """Return a view of the encoded bytes of a piece in the mapping of its file, if they are to be taken there."""
        _, _, _, descriptor, offset, length, place, due = piece
        mapped = self.files.mapped.get(descriptor)
        # What a file never held is left to `_read`, which says what is wrong.
        if mapped is None or place >= 0 or not 0 <= offset <= len(mapped.bytes) - length:
            return None
        data = mapped.bytes[offset : offset + length]
        if due:
            self._check(piece[0], data)
        return data

    def _read(self, piece: Piece, data: memoryview) -> None:
        """Fill `data` with the encoded bytes of a piece from its file, and keep them if they are to be kept."""
        number, _, _, descriptor, offset, length, place, due = piece
        if offset < 0:  # preadv2(2), which Python calls, takes −1 for the current position of the file.
            raise self._damaged(number, f"cannot be read at offset {offset}, expected at least 0")
        try:
            count = os.preadv(descriptor, [data], offset)
        except OSError as err:
            raise self._damaged(number, f"cannot be read at offset {offset} ({err.strerror})") from err
        if count != length:
            raise self._damaged(number, f"ends after {count} bytes, expected {length} at offset {offset}")
        # What is kept is used for long, so it is checked in any case.
        if due or place >= 0:
            self._check(number, data)
        if place >= 0:
            self._open_memory().put(number, place, data)

    def _check(self, number: int, data: memoryview | NDArray[np.uint8]) -> None:
        if (found := crc32c(data)) != (expected := int(self._checksums[number])):
            raise self._damaged(number, f"has CRC-32C {found:08x}, expected {expected:08x}")
        self._checked[number] = True

    def _open_memory(self) -> KeptRecords:
        if (kept := self.keeping.records) is None:
            raise ValueError("the store is closed, expected it open")
        return kept

    def _damaged(self, number: int, what: object) -> CorruptShard:
        row, part = divmod(number, self._num_parts)
        path = self.files.path(int(self.shard[row]), part)
        return CorruptShard(f"{path}: the record of {self._index.key(row)} {what}")
