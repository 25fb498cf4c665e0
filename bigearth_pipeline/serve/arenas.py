"""Limit of the memory that the C library keeps for threads."""

import ctypes
from typing import Final

_M_ARENA_MAX: Final = -8
"""Parameter of mallopt(3), from malloc.h of glibc."""
_ARENAS: Final = 2


def limit_arenas() -> None:
    """Let threads share two arenas of glibc; without glibc nothing happens.

    By itself it has eight arenas for each core, and what is freed in one is not used for the others, so that memory
    grows for minutes while threads take turns.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, _ARENAS)
