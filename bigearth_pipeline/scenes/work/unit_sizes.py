"""Sizes of the units and parts of inputs that are lists of patches."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, TypeVar

T = TypeVar("T")

UNIT: Final = 1024
"""Patches of a unit: what a killed prediction loses at most for each of them in work."""


def cut(items: Sequence[T], size: int) -> Iterator[list[T]]:
    """Cut a sequence into lists of up to a size, of as even a length as can be."""
    count = -(-len(items) // size)
    starts = [len(items) * i // count for i in range(count + 1)]
    for start, end in pairwise(starts):
        yield list(items[start:end])
