"""Compiled decoders of the tiles of GeoTIFFs: LZW, and differences along rows (TIFF 6.0, sections 13 and 14)."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from shards.runtime.compiled import compiled, compiled_inline, load_word, store_word

PADDING: Final = 16
"""Bytes behind what is read and what is written, for both are done eight at a time."""
_CLEAR: Final = 256
_END: Final = 257
_FIRST: Final = 258
_TABLE: Final = 4096
_LENGTH_BITS: Final = 32
_LENGTH: Final = (1 << _LENGTH_BITS) - 1

# What a code stands for has been written before, so the table holds where and how long: `position << 32 | length`. The
# single bytes are written before all else.
HEAD: Final = 256
"""Bytes before the first one that is decoded."""


@compiled
def decode_lzw(data: NDArray[np.uint8], out: NDArray[np.uint8]) -> int:
    """Decode LZW as TIFF has it: codes of 9 to 12 bits, the first bit of each first, and a wider one early.

    Args:
        data: (n + PADDING,) uint8, contiguous: n bytes, then any others.
        out: (HEAD + size + PADDING,) uint8, contiguous: filled from `HEAD` on.

    Returns:
        The number of bytes before the end, `size` if they fill `out`; −1 if the data are not valid.
    """
    table = np.empty(_TABLE, np.int64)
    for i in range(HEAD):
        out[i] = i
        table[i] = (i << _LENGTH_BITS) | 1
    begin, written = np.uint64(data.ctypes.data), np.uint64(out.ctypes.data)
    available, end = len(data) - PADDING, len(out) - PADDING
    bits, count, position = np.uint64(0), 0, 0
    done, last, last_length, following = HEAD, 0, 0, _FIRST
    width = 9
    mask = np.uint64((1 << width) - 1)
    while done < end:
        if count < width:
            if position >= available:
                return -1
            bits = (bits << np.uint64(32)) | _first_half(load_word(begin + np.uint64(position)))
            position += 4
            count += 32
        count -= width
        code = np.int64((bits >> np.uint64(count)) & mask)
        if code == _CLEAR:
            following, width, last_length = _FIRST, 9, 0
            mask = np.uint64((1 << width) - 1)
            continue
        if code == _END:
            break
        if last_length:
            if following == _TABLE:
                return -1
            # The string before and the first byte of this one, which are contiguous.
            table[following] = (last << _LENGTH_BITS) | (last_length + 1)
            following += 1
            if following == np.int64(mask) and width < 12:
                width += 1
                mask = np.uint64((1 << width) - 1)
        if code >= following:
            return -1
        entry = table[code]
        source, length = entry >> _LENGTH_BITS, entry & _LENGTH
        if done + length > end:
            return -1
        store_word(written + np.uint64(done), load_word(written + np.uint64(source)))
        k = 8
        while k < length:
            store_word(written + np.uint64(done + k), load_word(written + np.uint64(source + k)))
            k += 8
        if source + length > done:
            # The string ends with its own first bytes, which had not been written.
            for k in range(done - source, length):
                out[done + k] = out[source + k]
        last, last_length = done, length
        done += length
    return done - HEAD


@compiled_inline
def _first_half(word: Any) -> Any:
    """Return the first four bytes of a word that was loaded, the first one highest."""
    low, byte = np.uint64(0xFFFF), np.uint64(0x00FF)
    return (
        ((word & byte) << np.uint64(24))
        | ((word & (low ^ byte)) << np.uint64(8))
        | ((word >> np.uint64(8)) & (low ^ byte))
        | ((word >> np.uint64(24)) & byte)
    )


@compiled
def add_differences(differences: NDArray[Any], out: NDArray[Any]) -> None:
    """Add up differences along rows, modulo the range of their type.

    Args:
        differences: (rows, columns) uint8 or uint16.
        out: likewise, filled with the values.
    """
    for row in range(len(out)):
        value = out.dtype.type(0)
        for column in range(out.shape[1]):
            value = out.dtype.type(value + differences[row, column])
            out[row, column] = value
