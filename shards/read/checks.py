"""When the stored bytes of records are compared with their CRC-32C, and which were already."""

import mmap
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from shards.errors import InvalidValue

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


def unchecked(num_pieces: int) -> NDArray[np.bool_]:
    """Return a mark for each piece of a store, (pieces,) bool, all of them False.

    They lie in memory that forked processes share: workers that are forked anew for every epoch would otherwise check
    every record in every epoch. Two threads may set the same mark at the same time.
    """
    return np.frombuffer(mmap.mmap(-1, max(num_pieces, 1)), np.bool_, num_pieces)
