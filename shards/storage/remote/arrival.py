"""The bytes of a request as they arrive: each range is compared with its checksum and goes to the cache at once.

To wait for the whole answer would take fresh memory for each, and memory of the size of an answer costs more page
faults than the network's own copy costs time.
"""

from collections import deque
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from crc32c import crc32c
from numpy.typing import NDArray

from shards.storage.remote.coalesce import Span

Write: TypeAlias = Callable[[int, list[memoryview]], bool]
"""Takes an offset in the file and the bytes there, in pieces; returns whether they are in the cache now."""


class Arrival:
    """Ranges of a span as they arrive.

    Attributes:
        span: what was requested.
        right: (ranges,) bool, of each range of the span whether it is complete and has its checksum.
        kept: bytes of the ranges that are not in the cache, right or wrong, by the number of the range; fewer than the
            range has if the object ends before.
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

    def end(self) -> None:
        """Keep what there is of ranges that are not complete: the object has no more bytes."""
        for i in range(self._next, len(self._ends)):
            self._keep(i)
        self._next = len(self._ends)
        self._pieces.clear()

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
