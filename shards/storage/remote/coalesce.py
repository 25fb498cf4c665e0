"""Ranges that lie near each other, put together into one request."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shards.storage.base import Ranges

GAP: Final = 128 << 10
"""Bytes that are fetched for nothing rather than send another request: about what arrives during one round trip."""
LARGEST: Final = 4 << 20
"""Bytes of a request at most, unless a single range is longer, so that most requests are of about the same length."""

_ABOUT: Final = 2048
"""Ranges by which what is fetched ahead may come earlier or later than in the order of need: less than a window."""


@dataclass(frozen=True, slots=True, eq=False)
class Span:
    """The bytes that one request is for.

    Attributes:
        file: number of the file.
        start: its first byte in the file.
        end: its last byte + 1.
        ranges: those in it, by ascending offset.
    """

    file: int
    start: int
    end: int
    ranges: Ranges


def coalesce(ranges: Ranges, *, gap: int = GAP, largest: int = LARGEST) -> list[Span]:
    """Return the requests for some ranges, in the order of files and offsets; one that occurs twice is in one."""
    if not len(ranges):
        return []
    order = np.lexsort((ranges.number, ranges.offset, ranges.file))
    ranges = ranges.take(order)
    if len(ranges) > 1:
        again = np.r_[False, ranges.number[1:] == ranges.number[:-1]]
        ranges = ranges.take(~again)
    ends = ranges.offset + ranges.length
    apart = (ranges.file[1:] != ranges.file[:-1]) | (ranges.offset[1:] - ends[:-1] > gap)
    spans = []
    for begin, stop in _runs(apart):
        start = begin
        for i in range(begin, stop):
            if i > start and ends[i] - ranges.offset[start] > largest:
                spans.append(_span(ranges, ends, start, i))
                start = i
        spans.append(_span(ranges, ends, start, stop))
    return spans


def by_need(spans: list[Span], numbers: NDArray[np.int64]) -> list[Span]:
    """Return spans in about the order in which their ranges are needed, which is that of the numbers.

    Processes that share a cache do not all begin with the same span, and leave out what others have fetched meanwhile.
    """
    order = np.argsort(numbers, kind="stable")
    first = [order[np.searchsorted(numbers, span.ranges.number, sorter=order)].min() for span in spans]
    turns = np.argsort(np.array(first) + np.random.default_rng().uniform(0, _ABOUT, len(spans)))
    return [spans[i] for i in turns.tolist()]


def _runs(apart: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = [0, *(np.flatnonzero(apart) + 1).tolist(), len(apart) + 1]
    return list(pairwise(edges))


def _span(ranges: Ranges, ends: NDArray[np.int64], begin: int, stop: int) -> Span:
    part = ranges.take(np.arange(begin, stop))
    return Span(int(part.file[0]), int(part.offset[0]), int(ends[begin:stop].max()), part)
