"""When the stored bytes of records are compared with their CRC-32C, and which were already."""

import mmap
from typing import Final, Literal, TypeAlias

import numpy as np
from crc32c import crc32c
from numpy.typing import NDArray

from shards.errors import CorruptShard, InvalidValue

Verify: TypeAlias = Literal["first", "always", "never"]
"""`first`: when an open store, or a process forked from the one that opened it, reads them for the first time."""
VERIFY: Final[tuple[Verify, ...]] = ("first", "always", "never")


def verify_mode(value: object) -> Verify:
    """Return the mode of that name; True and False, of version 0.1, stand for `always` and `first`.

    Raises:
        InvalidValue: there is none.
    """
    if isinstance(value, bool):
        return "always" if value else "first"
    for mode in VERIFY:
        if value == mode:
            return mode
    raise InvalidValue(f"verify is {value!r}, expected one of {', '.join(VERIFY)}")


def unchecked(count: int) -> NDArray[np.bool_]:
    """Return a mark for each part of the patches of a store, (count,) bool, all of them False.

    They lie in memory that forked processes share: workers that are forked anew for every epoch would otherwise check
    every record in every epoch. Two threads may set the same mark at the same time.
    """
    return np.frombuffer(mmap.mmap(-1, max(count, 1)), np.bool_, count)


class Checks:
    """The checksums of the stored parts of patches, and which were compared; safe to share between threads."""

    def __init__(self, crc32c: NDArray[np.uint32]) -> None:
        """Take the CRC-32C of each part, (n,) uint32."""
        self._expected = crc32c
        self._done = unchecked(len(crc32c))

    def due(self, numbers: NDArray[np.int64], verify: Verify) -> NDArray[np.bool_]:
        """Return which of some parts are to be compared, (n,) bool."""
        if verify != "first":
            return np.full(len(numbers), verify == "always")
        due: NDArray[np.bool_] = ~self._done[numbers]
        return due

    def compare(self, number: int, content: NDArray[np.uint8]) -> None:
        """Compare the bytes of a part with its checksum.

        Raises:
            CorruptShard: they differ; the message is to be continued after the name of the part.
        """
        if (found := crc32c(content)) != (expected := int(self._expected[number])):
            raise CorruptShard(f"has CRC-32C {found:08x}, expected {expected:08x}")
        self._done[number] = True

    def mark(self, numbers: NDArray[np.int64] | int) -> None:
        """Say that parts were compared by others, before this process was given their bytes."""
        self._done[numbers] = True
