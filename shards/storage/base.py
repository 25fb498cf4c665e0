"""The one seam between stores and what holds their bytes: a folder, or object storage with a cache on disk.

A `Storage` is the place of one store. It reads small files whole, and opens `Files`, which are read by range. A `Cache`
holds ranges that were read before. None of them knows of records: they see numbered ranges of numbered files.

A storage need not have memory views or descriptors: `Files.fetch` is all that reading needs. One that has to wait for
each answer, such as object storage, learns of the ranges of a whole batch from `prepare`, and of those of later batches
from `advise`. It starts its requests there, hundreds at a time, and only waits for them in `fetch`. What `prepare`
returns keeps what it found for the batch: whoever drops it gives up the batch, and its memory and descriptors go.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from shards.errors import ShardError


class FileEntry(NamedTuple):
    """A file that a store has, by what its manifest says."""

    name: str
    size_bytes: int


class Range(NamedTuple):
    """A range of bytes of a file, as in `Ranges`."""

    number: int
    file: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Ranges:
    """Ranges of bytes of numbered files, as a structure of arrays.

    Attributes:
        number: (n,) int64, of each range among all ranges of the store; a cache knows it by this.
        file: (n,) int32, number of its file.
        offset: (n,) int64 bytes, where it begins there.
        length: (n,) int64 bytes.
    """

    number: NDArray[np.int64]
    file: NDArray[np.int32]
    offset: NDArray[np.int64]
    length: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.number)

    def take(self, which: NDArray[Any]) -> "Ranges":
        """Return some of the ranges, by a mask or their numbers here."""
        return Ranges(self.number[which], self.file[which], self.offset[which], self.length[which])

    def one(self, i: int) -> Range:
        """Return a range by its number here."""
        return Range(self.number.item(i), self.file.item(i), self.offset.item(i), self.length.item(i))


@dataclass(frozen=True, slots=True, eq=False)
class RangeTable:
    """All ranges of a store, for a storage that checks and keeps what it fetched.

    Attributes:
        identity: 32 bytes that only stores with the same records share.
        ranges: all of them; the number of each is its place here.
        crc32c: (n,) uint32, checksum of the bytes of each.
    """

    identity: bytes
    ranges: Ranges
    crc32c: NDArray[np.uint32]


class Views:
    """Locations of ranges in memory, for those that are in memory.

    Attributes:
        address: (n,) uint64, of the first byte of each range, all of whose bytes are there; 0 if it is not in memory.
    """

    def __init__(
        self,
        ranges: Ranges,
        sources: dict[int, NDArray[np.uint8]],
        source: NDArray[Any],
        begin: NDArray[np.int64],
        address: NDArray[np.uint64],
    ) -> None:
        """Say where ranges lie.

        Args:
            ranges: (n,) all of them.
            sources: memory by number, which the views keep where it is.
            source: (n,) integers, number of the memory that holds each range.
            begin: (n,) int64, its first byte there.
            address: see the class.
        """
        self.address = address
        self._sources, self._source = sources, source.tolist()
        self._begin, self._end = begin.tolist(), (begin + ranges.length).tolist()

    def of(self, i: int) -> NDArray[np.uint8]:
        """Return the bytes of a range that is in memory, (length,) uint8."""
        return self._sources[self._source[i]][self._begin[i] : self._end[i]]

    def put(self, which: NDArray[np.int64], other: "Views") -> None:
        """Take the views of some ranges from others, which has one for each of them."""
        self._sources = self._sources | other._sources
        for i, target in enumerate(which.tolist()):
            self._source[target] = other._source[i]
            self._begin[target], self._end[target] = other._begin[i], other._end[i]
        self.address[which] = other.address


class Unreadable(ShardError):
    """A range of a file cannot be read.

    Attributes:
        what: what is wrong with it, to be continued after its name.
    """

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path}: a range {what}")
        self.what = what


class Files(Protocol):
    """The numbered files of a store; safe to share between threads, and with forked processes.

    Each file is opened when it is first needed. Every method that opens some raises CorruptShard, naming the file, if
    one is absent, cannot be opened or has another size than expected.
    """

    def path(self, file: int) -> Path:
        """Return the name of a file for messages."""

    def prepare(self, ranges: Ranges) -> object:
        """Get ready to fetch the ranges of a batch: open their files, or send requests.

        Returns:
            What `descriptors` and `fetch` take; it keeps the ranges at hand as long as there are references to it.

        Raises:
            CorruptShard: see `Files`.
        """

    def views(self, ranges: Ranges) -> Views | None:
        """Return where ranges lie in memory; None if none does.

        Raises:
            CorruptShard: see `Files`.
        """

    def descriptors(self, ranges: Ranges, prepared: object) -> NDArray[np.int64] | None:
        """Return descriptors of the files of ranges, for compiled code that reads by itself at the same offsets.

        Args:
            ranges: those that were prepared.
            prepared: what `prepare` returned for them.

        Returns:
            (n,) int64; None if there are none, or not all ranges can be read by them.

        Raises:
            CorruptShard: see `Files`.
        """

    def compared(self, prepared: object) -> bool:
        """Return whether all ranges of a batch are at hand, each compared with its checksum by this process.

        Args:
            prepared: what `prepare` returned for them.
        """

    def bring(self, place: Range, prepared: object) -> bool:
        """Wait until a range that was prepared is on this machine, compared with its checksum by this process.

        Returns:
            False if only `fetch` does that.

        Raises:
            Unreadable: it does not come.
        """

    def fetch(self, place: Range, buffer: NDArray[np.uint8], prepared: object) -> bool:
        """Read a range that was prepared.

        Args:
            place: what to read.
            buffer: (length,) uint8, contiguous and writable.
            prepared: what `prepare` returned for it.

        Returns:
            Whether the bytes were compared with their checksum by this process, now or when they arrived.

        Raises:
            Unreadable: it cannot be read, or not to its end.
        """

    def doubt(self, place: Range, prepared: object) -> bool:
        """Say that what was fetched of a range is not right.

        Returns:
            Whether it came from a copy, which `fetch` compares anew, and replaces if need be.
        """

    def advise(self, ranges: Ranges) -> None:
        """Announce ranges that will be fetched soon; this returns at once.

        Raises:
            CorruptShard: see `Files`.
        """

    def advise_files(self, ranges: Ranges) -> None:
        """Announce ranges that are most of what their files hold, to be fetched in sequence; this returns at once.

        Raises:
            CorruptShard: see `Files`.
        """

    def give_up(self) -> None:
        """Have whoever waits for a range in `bring` or `fetch` get a ValueError; later reads work as before."""

    def close(self) -> None:
        """Close all files; closing twice is harmless."""


class Storage(Protocol):
    """The place of a store."""

    def open(self, files: Sequence[FileEntry], table: Callable[[], RangeTable]) -> Files:
        """Return the files of a store, numbered in this order; each is opened when it is first needed.

        Args:
            files: name and size of each.
            table: returns the ranges of the store, for a storage that needs to know them.
        """

    def read(self, name: str, at_most: int) -> bytes:
        """Return the content of a file that is needed whole, such as the manifest.

        Args:
            name: of the file.
            at_most: bytes that it may have.

        Raises:
            OSError: it is absent (FileNotFoundError), cannot be read, or is longer (EFBIG).
        """

    def has(self, name: str) -> bool:
        """Return whether there is a file.

        Raises:
            OSError: it cannot be found out.
        """

    def create(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """Open a file for writing that appears, whole and durable, only if the block ends without an error."""


class Cache(Protocol):
    """Ranges that were read before, in memory."""

    def views(self, ranges: Ranges) -> Views | None:
        """Return where ranges lie in memory; None if the cache neither has nor wants any range at all."""

    def wanted(self, ranges: Ranges) -> NDArray[np.bool_]:
        """Return the ranges that the cache is to have and has not, (n,) bool."""

    def put(self, number: int, content: NDArray[np.uint8]) -> None:
        """Store a range that was wanted and has been compared with its checksum.

        Raises:
            NotEnoughMemory: there is no memory left for it.
        """
