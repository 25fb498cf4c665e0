"""Reading several files of a folder in one call, without the interpreter lock.

Threads that read files one by one take the lock after each of four system calls a file, and wait for it while another
thread computes: with 32 threads the lock is the limit, and a quarter of the processor time goes into taking it.
"""

import ctypes
import os
import stat
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.source.tiff.names import BandFile
from shards.runtime.compiled import Word, c_function, compiled, load_word, pread
from shards.storage.safe_open import OPEN_FLAGS

_LIBRARY: Final[Any] = ctypes.CDLL(None)
_ADDRESSES: Final = {
    name: ctypes.cast(getattr(_LIBRARY, name), ctypes.c_void_p).value if hasattr(_LIBRARY, name) else None
    for name in ("openat", "statx", "close")
}
"""Functions of the C library; glibc has `statx` since 2.28."""
# `openat` takes a mode only with O_CREAT.
_openat: Final = c_function("openat", _ADDRESSES["openat"], "int32(int32, uint64, int32)")
_statx: Final = c_function("statx", _ADDRESSES["statx"], "int32(int32, uint64, int32, uint32, uint64)")
_close: Final = c_function("close", _ADDRESSES["close"], "int32(int32)")

_EMPTY_PATH: Final = 0x1000  # AT_EMPTY_PATH
_WANTED: Final = 0x1 | 0x2 | 0x40 | 0x200  # STATX_TYPE, STATX_MODE, STATX_MTIME, STATX_SIZE
_STATUS_BYTES: Final = 256  # Of struct statx, whose layout is the same on all processors (statx(2)).
_NANO: Final = 1_000_000_000
_FLAGS: Final = OPEN_FLAGS
_IS_REGULAR: Final = stat.S_IFREG
_KIND: Final = stat.S_IFMT(0xFFFF)


@compiled
def _read_all(
    directory: int,
    names: NDArray[np.uint8],
    starts: NDArray[np.int64],
    out: NDArray[np.uint8],
    ends: NDArray[np.int64],
    mtimes: NDArray[np.int64],
) -> int:
    """Read files; return the number of those read before the first that cannot be."""
    status = np.empty(_STATUS_BYTES, np.uint8)
    at = 0
    for i in range(len(starts)):
        descriptor = _openat(np.int32(directory), np.uint64(names.ctypes.data + starts[i]), np.int32(_FLAGS))
        if descriptor < 0:
            return i
        length = _read_one(descriptor, np.uint64(names.ctypes.data + len(names) - 1), status, out[at:])
        _close(descriptor)
        if length < 0:
            return i
        at += length
        ends[i] = at
        address = np.uint64(status.ctypes.data)
        seconds = np.int64(load_word(address + np.uint64(112)))
        mtimes[i] = seconds * _NANO + np.int64(load_word(address + np.uint64(120)) & np.uint64(0xFFFF_FFFF))
    return len(starts)


@compiled
def _read_one(descriptor: int, no_path: Word, status: NDArray[np.uint8], out: NDArray[np.uint8]) -> int:
    """Return the length of a regular file, which is in `out` then; -1 if it is another, too long, or changes."""
    address = np.uint64(status.ctypes.data)
    if _statx(descriptor, no_path, np.int32(_EMPTY_PATH), np.uint32(_WANTED), address) != 0:
        return -1
    mode = load_word(address + np.uint64(24)) >> np.uint64(32)
    size = np.int64(load_word(address + np.uint64(40)))
    # There must be room for one byte more, so that a file that has grown is seen.
    if mode & np.uint64(_KIND) != np.uint64(_IS_REGULAR) or not 0 <= size < len(out):
        return -1
    count = pread(descriptor, np.uint64(out.ctypes.data), np.uint64(size + 1), np.int64(0))
    return int(size) if count == size else -1


def read_files(directory: int, names: Sequence[str], room: int) -> dict[str, BandFile] | None:
    """Read regular files.

    Args:
        directory: descriptor of their folder.
        names: of the files.
        room: bytes of all of them, at most.

    Returns:
        The files by name; None if one of them cannot be read, is not regular, or changes meanwhile, or they are longer,
        or the C library lacks a function.
    """
    if None in _ADDRESSES.values():
        return None
    encoded = [os.fsencode(name) + b"\0" for name in names]
    lengths = np.array([0, *map(len, encoded)], np.int64)
    text = np.frombuffer(b"".join(encoded), np.uint8)
    out = np.empty(room + 1, np.uint8)
    ends, mtimes = np.empty(len(names), np.int64), np.empty(len(names), np.int64)
    if _read_all(directory, text, np.cumsum(lengths)[:-1], out, ends, mtimes) < len(names):
        return None
    content = memoryview(out)
    begin, files = 0, {}
    for name, end, mtime_ns in zip(names, ends.tolist(), mtimes.tolist(), strict=True):
        files[name] = BandFile(content[begin:end], mtime_ns)
        begin = end
    return files
