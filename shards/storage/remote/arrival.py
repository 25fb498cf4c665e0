"""The bytes of a request as they arrive: each range is compared with its checksum and goes to the cache at once.

To wait for the whole answer would take fresh memory for each, and memory of the size of an answer costs more page
faults than the network's own copy costs time.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

import numpy as np
from crc32c import crc32c
from numpy.typing import NDArray

from shards.storage.base import FileEntry, RangeTable
from shards.storage.disk.cache import DiskCache
from shards.storage.disk.image import Image
from shards.storage.remote.attempts import attempt
from shards.storage.remote.client import Client
from shards.storage.remote.coalesce import Span
from shards.storage.remote.failures import Refused

_MOST_APART: Final = 4096
"""Bytes between two ranges, at most, that are written although nobody wants them."""
_DOWNLOADS: Final = 3
"""Times that a range is fetched whose checksum is wrong, before the reader is given it and says so."""
Write: TypeAlias = Callable[[int, list[memoryview]], bool]
"""Takes an offset in the file and the bytes there, in pieces; returns whether they are in the cache now."""


class Arrival:
    """Ranges of a span as they arrive.

    Attributes:
        span: what was requested.
        right: (ranges,) bool, of each range of the span whether it is complete and has its checksum.
        kept: bytes of the complete ranges that are not in the cache, right or wrong, by the number of the range.
    """

    def __init__(self, span: Span, expected: NDArray[np.uint32], apart: int) -> None:
        """Begin with nothing.

        Args:
            span: what was requested.
            expected: (ranges,) CRC-32C of each range.
            apart: bytes between two ranges up to which they are written together, with what lies between them.
        """
        self.span = span
        self.right: NDArray[np.bool_] = np.zeros(len(span.ranges), np.bool_)
        self.kept: dict[int, NDArray[np.uint8]] = {}
        self._expected, self._numbers = expected.tolist(), span.ranges.number.tolist()
        self._begins = span.ranges.offset.tolist()
        self._ends = (span.ranges.offset + span.ranges.length).tolist()
        self._apart, self._next, self._position = apart, 0, span.start
        self._pieces: deque[tuple[int, memoryview]] = deque()

    def missing(self) -> int:
        """Return how many bytes of the span have not arrived."""
        return max(self.span.end - self._position, 0)

    def take(self, piece: memoryview, write: Write | None) -> None:
        """Take the next bytes; what is complete with them is written, or kept if that cannot be."""
        self._pieces.append((self._position, piece))
        self._position += len(piece)
        first = self._next
        while self._next < len(self._ends) and self._ends[self._next] <= self._position:
            self._next += 1
        if first == self._next:
            return
        self._settle(range(first, self._next), write)
        # Ranges are in the order of their offsets, so none that follows needs what lies before the next one.
        needed = self._begins[self._next] if self._next < len(self._begins) else self._position
        while self._pieces and self._pieces[0][0] + len(self._pieces[0][1]) <= needed:
            self._pieces.popleft()

    def stored(self) -> NDArray[np.int64]:
        """Return the numbers of the ranges that were written."""
        numbers = self.span.ranges.number[self.right]
        return numbers[~np.isin(numbers, list(self.kept))] if self.kept else numbers

    def store(self, write: Write) -> None:
        """Write the right ranges that are kept."""
        for i in np.flatnonzero(self.right).tolist():
            content = self.kept.get(self._numbers[i])
            if content is not None and write(self._begins[i], [memoryview(content)]):
                del self.kept[self._numbers[i]]

    def _settle(self, complete: range, write: Write | None) -> None:
        for i in complete:
            found = 0
            for part in self._parts(self._begins[i], self._ends[i]):
                # With the interpreter's lock: others would take it, and the bytes leave the processor's cache.
                found = crc32c(part, found, gil_release_mode=0)
            self.right[i] = found == self._expected[i]
        for run in self._runs(complete):
            begin, end = self._begins[run[0]], max(self._ends[i] for i in run)
            if write is None or not self.right[run[0]] or not write(begin, self._parts(begin, end)):
                for i in run:
                    self._keep(i)

    def _runs(self, complete: range) -> list[list[int]]:
        """Return the ranges in groups to write together; one that is wrong is a group by itself."""
        runs: list[list[int]] = []
        end = 0
        for i in complete:
            is_joined = runs and self.right[i] and self.right[i - 1] and self._begins[i] - end <= self._apart
            if is_joined:
                runs[-1].append(i)
            else:
                runs.append([i])
            end = max(end, self._ends[i]) if is_joined else self._ends[i]
        return runs

    def _parts(self, begin: int, end: int) -> list[memoryview]:
        """Return what has arrived from one offset of the file to another."""
        parts = []
        for start, piece in self._pieces:
            if start >= end:
                break
            if start + len(piece) > begin:
                parts.append(piece[max(begin - start, 0) : end - start])
        return parts

    def _keep(self, i: int) -> None:
        parts = [np.frombuffer(part, np.uint8) for part in self._parts(self._begins[i], self._ends[i])]
        # A copy, for a part of a piece would hold the whole piece in memory.
        self.kept[self._numbers[i]] = np.concatenate(parts) if parts else np.empty(0, np.uint8)


@dataclass(frozen=True, slots=True)
class Found:
    """Ranges that a request brought, and the image that has those which were not kept; None if none has."""

    arrival: Arrival
    image: Image | None


class Receiver:
    """Sends requests for spans of a store's files, and puts what they bring into the cache.

    Attributes:
        stop: is set when no answer is needed any more.
    """

    def __init__(self, client: Client, files: Sequence[FileEntry], table: RangeTable, cache: DiskCache) -> None:
        """See `RemoteFiles`."""
        self.stop = threading.Event()
        self._client, self._files, self._table, self._cache = client, files, table, cache
        # Nothing between two ranges that are no further apart can be a third.
        self._apart = max(int(table.ranges.length.min(initial=_MOST_APART)) - 1, 0)
        self._tags: dict[int, str | None] = {}

    def receive(self, span: Span, *, stored: bool = True) -> Found:
        """Return what a request for a span brings, which is kept in memory where the cache has no room.

        Args:
            span: what to request.
            stored: put it into the cache; else all of it is kept in memory.

        Raises:
            Refused: it does not come.
        """
        size = span.end - span.start
        if not stored:
            return Found(self._send(span, None), None)
        # Requests under way are many, and would delete much of a small cache for what has not arrived yet.
        with self._cache.room(span.file, size, evict=False) as image:
            arrival = self._send(span, image)
            self._hold(arrival, image)
        if image is None and arrival.right.any():
            with self._cache.room(span.file, size, evict=True) as image:
                if image is not None:
                    arrival.store(partial(self._cache.write, image))
                    self._hold(arrival, image)
        return Found(arrival, image)

    def _send(self, span: Span, image: Image | None) -> Arrival:
        """Send a request for a span until its ranges are right, several times if need be."""
        file, stop = span.file, self.stop
        expected = self._table.crc32c[span.ranges.number]
        write = None if image is None else partial(self._cache.write, image)

        def send() -> tuple[Arrival, str | None]:
            arrival = Arrival(span, expected, self._apart)
            answer = self._client.stream(self._files[file].name, span.start, span.end)
            if answer.size_bytes != (size := self._files[file].size_bytes):
                raise Refused("changed", f"the object has {answer.size_bytes} bytes, expected {size}")
            # What a server sends beyond the span is not waited for.
            while arrival.missing() and (piece := next(answer.pieces, None)) is not None:
                arrival.take(piece, write)
                if stop.is_set():
                    raise Refused("refused", "the answer is not needed any more")
            if missing := arrival.missing():
                length = span.end - span.start
                raise Refused("broken", f"an answer ends after {length - missing} bytes, expected {length}")
            return arrival, answer.tag

        for _ in range(_DOWNLOADS):
            arrival, tag = attempt(send, stop=stop)
            if arrival.right.all():
                self._tags[file] = tag
                break
            if self._tags.get(file, tag) != tag:
                raise Refused("changed", "it was changed since it was first read")
        return arrival

    def _hold(self, arrival: Arrival, image: Image | None) -> None:
        if image is not None and len(stored := arrival.stored()):
            self._cache.hold(image, stored)
