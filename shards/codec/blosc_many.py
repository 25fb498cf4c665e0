"""Decompression of several Blosc frames in one call, by the C library that numcodecs brings along.

`numcodecs.blosc.decompress` takes one frame a call and the interpreter lock for each. The functions of c-blosc are
exported by the extension module of numcodecs, so compiled code can call them in a loop. Where a build of numcodecs
hides them, both functions are None, and frames are decompressed one by one.
"""

import ctypes
from typing import Final

import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray

from shards.codec.base import DecodeFromFiles, DecodeInMemory
from shards.runtime.compiled import Word, c_function, compiled, load_word, pread

_HEADER: Final = 16
"""Bytes of the header of a frame: versions, flags and typesize, then nbytes, blocksize and cbytes, uint32 each."""


def _exported(name: str) -> int | None:
    """Return the address of a function of the C library; None if the extension module does not export it."""
    try:
        return ctypes.cast(getattr(ctypes.CDLL(blosc.__file__), name), ctypes.c_void_p).value
    except (AttributeError, OSError):
        return None


_ADDRESS: Final = _exported("blosc_decompress_ctx")
# int blosc_decompress_ctx(const void *src, void *dest, size_t destsize, int numinternalthreads)
_decompress_ctx: Final = c_function("blosc_decompress_ctx", _ADDRESS, "int32(uint64, uint64, uint64, int32)")


@compiled
def _decompress_in_memory(
    addresses: NDArray[np.uint64], lengths: NDArray[np.int64], sizes: NDArray[np.int64], out: NDArray[np.uint8]
) -> int:
    at = np.uint64(out.ctypes.data)
    for i in range(len(lengths)):
        size = np.uint64(sizes[i])
        if not _decompress(np.uint64(addresses[i]), lengths[i], at, size):
            return i
        at += size
    return len(lengths)


@compiled
def _decompress_from_files(
    descriptors: NDArray[np.int64],
    offsets: NDArray[np.int64],
    lengths: NDArray[np.int64],
    sizes: NDArray[np.int64],
    out: NDArray[np.uint8],
    scratch: NDArray[np.uint8],
) -> int:
    at, address = np.uint64(out.ctypes.data), np.uint64(scratch.ctypes.data)
    for i in range(len(lengths)):
        # The kernel takes a negative length for a large one.
        if not 0 <= lengths[i] <= len(scratch):
            return i
        size = np.uint64(sizes[i])
        count = pread(np.int32(descriptors[i]), address, np.uint64(lengths[i]), offsets[i])
        if count != lengths[i] or not _decompress(address, count, at, size):
            return i
        at += size
    return len(lengths)


@compiled
def _decompress(address: Word, length: int, target: Word, size: Word) -> bool:
    """Decompress a frame, whose header must give its own length and the size of the output."""
    if length < _HEADER:
        return False
    nbytes = load_word(address + np.uint64(4)) & np.uint64(0xFFFF_FFFF)
    cbytes = load_word(address + np.uint64(8)) >> np.uint64(32)
    if nbytes != size or cbytes != np.uint64(length):
        return False
    return bool(_decompress_ctx(address, target, size, np.int32(1)) == np.int64(size))


decompress_in_memory: Final[DecodeInMemory | None] = _decompress_in_memory if _ADDRESS else None
decompress_from_files: Final[DecodeFromFiles | None] = _decompress_from_files if _ADDRESS else None
