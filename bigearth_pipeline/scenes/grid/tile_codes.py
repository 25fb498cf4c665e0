"""Compiled decoders of the tiles of GeoTIFFs: LZW, and differences along rows (TIFF 6.0, sections 13 and 14)."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from shards.runtime.compiled import compiled, compiled_inline, load_big_endian, load_word, store_word

PADDING: Final = 8
"""Bytes behind what is read and what is written, for both are done eight at a time."""
HEAD: Final = 256
"""Bytes before the first one that is decoded."""

_CLEAR: Final = np.uint64(256)
_END: Final = np.uint64(257)
_FIRST: Final = np.uint64(258)
_TABLE: Final = np.uint64(4096)
_NARROWEST: Final = np.uint64(9)
_WIDEST: Final = np.uint64(12)
_ONE: Final = np.uint64(1)
_INVALID: Final = np.int64(-1)
_WORD: Final = np.uint64(8)

# What a code stands for has been written before, so the table holds where and how long: `position << 12 | length`, the
# length at most 3,839. The single bytes are written before all else. Codes that stand for nothing have length 0.
_BITS: Final = np.uint64(12)
_LENGTH: Final = np.uint64((1 << 12) - 1)


@compiled
def decode_lzw(data: NDArray[np.uint8], size: int, out: NDArray[np.uint8]) -> np.int64:
    """Decode LZW as TIFF has it: codes of 9 to 12 bits, the first bit of each first, and a wider one early.

    Args:
        data: (size + PADDING or more,) uint8, contiguous.
        size: bytes of the code; those behind it are any.
        out: (HEAD + n + PADDING,) uint8, contiguous, n at least 1: filled from `HEAD` on.

    Returns:
        The number of bytes before the end, n if they fill `out`; −1 if the data are not valid.
    """
    table = np.zeros(_TABLE + _ONE, np.uint64)
    for i in range(HEAD):
        out[i] = i
        table[i] = (np.uint64(i) << _BITS) | _ONE
    source, target = np.uint64(data.ctypes.data), np.uint64(out.ctypes.data)
    limit, end = _WORD * np.uint64(size), np.uint64(len(out) - PADDING)
    position, done = np.uint64(0), np.uint64(HEAD)
    while position < limit:
        # The first code, and that after a clear one, is a byte and adds nothing to the table.
        code = _code(source, position, _NARROWEST)
        position += _NARROWEST
        if code == _CLEAR:
            continue
        if code == _END:
            return np.int64(done) - HEAD
        if code > _END:
            return _INVALID
        out[done] = code
        last, length = (done << _BITS) | _ONE, _ONE
        done += _ONE
        following, width = _FIRST, _NARROWEST
        while done < end:
            # Neither the width of the codes nor the end of the data has to be looked at for each of these. After the
            # last string that the table has room for, only a clear code may come.
            wider = (_ONE << width) - _ONE if width < _WIDEST else _TABLE + _ONE
            until = min(wider, following + (limit - min(position, limit) + width - _ONE) // width)
            while following < until:
                code = _code(source, position, width)
                position += width
                # The string before and the first byte of this one, which are contiguous.
                table[following] = last + _ONE
                following += _ONE
                if code >= following:
                    return _INVALID
                entry = table[code]
                begin, length = entry >> _BITS, entry & _LENGTH
                after = done + length
                if after > end:
                    return _INVALID
                store_word(target + done, load_word(target + begin))
                if length - _ONE >= _WORD:  # Above 8, or 0.
                    if not length:
                        break
                    k = _WORD
                    while k < length:
                        store_word(target + done + k, load_word(target + begin + k))
                        k += _WORD
                if begin + length > done:
                    # The string ends with its own first bytes, which had not been written.
                    k = done - begin
                    while k < length:
                        out[done + k] = out[begin + k]
                        k += _ONE
                last = (done << _BITS) | length
                done = after
                if done == end:
                    return np.int64(done) - HEAD
            if not length:
                break
            if following > _TABLE or following < wider:
                return _INVALID
            width += _ONE
        if done == end or code == _END:
            return np.int64(done) - HEAD
    return _INVALID


@compiled_inline
def _code(source: Any, position: Any, width: Any) -> Any:
    """Return the code of a number of bits at a position in bits."""
    word = load_big_endian(source + (position >> np.uint64(3)))
    return (word << (position & np.uint64(7))) >> (np.uint64(64) - width)


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
