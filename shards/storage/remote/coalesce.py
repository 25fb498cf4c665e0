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


def _runs(apart: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = [0, *(np.flatnonzero(apart) + 1).tolist(), len(apart) + 1]
    return list(pairwise(edges))


def _span(ranges: Ranges, ends: NDArray[np.int64], begin: int, stop: int) -> Span:
    part = ranges.take(np.arange(begin, stop))
    return Span(int(part.file[0]), int(part.offset[0]), int(ends[begin:stop].max()), part)
