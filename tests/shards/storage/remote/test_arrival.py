"""Ranges of a request: those that arrive right are written, wrong ones never are, and other complete ones are kept."""

from itertools import pairwise

import numpy as np
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from shards.storage.base import Ranges
from shards.storage.remote.arrival import Arrival
from shards.storage.remote.coalesce import Span


@st.composite
def arrivals(draw: st.DrawFn) -> dict[str, object]:
    """Draw ranges in a file, some overlapping, the pieces in which they arrive, and what goes wrong."""
    places = draw(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 30)), min_size=1, max_size=8))
    places.sort()
    start, end = places[0][0], max(begin + length for begin, length in places)
    cuts = draw(st.sets(st.integers(start, end), max_size=8))
    return {
        "places": places,
        "start": start,
        "end": draw(st.integers(start, end)) if draw(st.booleans()) else end,
        "cuts": cuts,
        "wrong": draw(st.sets(st.integers(0, len(places) - 1), max_size=2)),
        "apart": draw(st.integers(0, 20)),
        "fails": draw(st.sets(st.integers(0, 8), max_size=3)),
        "has_room": draw(st.booleans()),
    }


@given(arrivals(), st.randoms(use_true_random=False))
def test_any_ranges_in_any_pieces(drawn: dict, random: object) -> None:
    """A range that is cut, wrong or not taken by the disk is lost, written, or taken for another."""
    places, start, end = drawn["places"], drawn["start"], drawn["end"]
    file = np.frombuffer(random.randbytes(200), np.uint8)  # type: ignore[attr-defined]
    offset, length = (np.array(column, np.int64) for column in zip(*places, strict=True))
    numbers = 100 + np.arange(len(places))
    ranges = Ranges(numbers, np.zeros(len(places), np.int32), offset, length)
    expected = np.array([crc32c(file[begin : begin + size]) for begin, size in places], np.uint32)
    expected[list(drawn["wrong"])] ^= 1
    arrival = Arrival(Span(0, start, int((offset + length).max()), ranges), expected, drawn["apart"])
    image, calls = np.full(200, -1), [0]

    def write(at: int, parts: list[memoryview]) -> bool:
        calls[0] += 1
        if calls[0] in drawn["fails"]:
            return False
        content = b"".join(parts)
        image[at : at + len(content)] = list(content)
        return True

    edges = sorted({start, end, *(cut for cut in drawn["cuts"] if cut < end)})
    for begin, stop in pairwise(edges):
        arrival.take(memoryview(file[begin:stop].tobytes()), write if drawn["has_room"] else None)
    assert arrival.missing() == int((offset + length).max()) - end
    if not drawn["has_room"]:
        assert len(arrival.stored()) == 0
        arrival.store(write)
    stored = set(arrival.stored().tolist())
    written = np.zeros(200, bool)
    for i, (begin, size) in enumerate(places):
        # One that lies within an earlier one is looked at with that.
        is_whole, number = all(sum(place) <= end for place in places[: i + 1]), 100 + i
        assert bool(arrival.right[i]) is (is_whole and i not in drawn["wrong"])
        assert (number in stored) == (bool(arrival.right[i]) and number not in arrival.kept)
        if number in stored:
            assert (image[begin : begin + size] == file[begin : begin + size]).all()
            written[begin : begin + size] = True
        elif is_whole:
            assert (arrival.kept[number] == file[begin : begin + size]).all()
        else:
            assert number not in arrival.kept
    # What lies between ranges that are written may be written too, but is what the file has.
    for at in np.flatnonzero(image >= 0):
        assert image[at] == file[at]
    if drawn["apart"] == 0:
        assert ((image >= 0) <= written).all()
