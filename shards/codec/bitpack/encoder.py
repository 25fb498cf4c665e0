"""Encoding of `bitpack`; see `SPEC.md` and `shards.codec.bitpack.decoder`."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from shards.codec.bitpack.decoder import (
    BLOCKS,
    COEFFICIENTS,
    FRACTION,
    HEADER,
    MASKS,
    PADDING,
    ROUND,
    U0,
    U1,
    U4,
    U16,
    U32,
)
from shards.layout.bands import GROUPS
from shards.runtime.compiled import Word, bit_length, compiled, load_word, store_word

_LAYOUT: Final = tuple((group.size, len(group.bands)) for group in GROUPS)
_EVEN: Final = np.uint64(0x0000_FFFF_0000_FFFF)
_LOW: Final = np.uint64(0x0000_0000_FFFF_FFFF)


def encode(record: NDArray[np.uint16]) -> bytes:
    """Return the encoding of a record: 5,030 bytes and up to 160,000 more.

    Args:
        record: (80000,) uint16, contiguous.
    """
    out = np.empty(HEADER + record.nbytes + PADDING, np.uint8)
    return out[: _encode(record, out)].tobytes()


@compiled
def _encode(record: NDArray[np.uint16], out: NDArray[np.uint8]) -> int:
    out[:HEADER] = 0
    begin = np.uint64(out.ctypes.data)
    at, block, coefficient, value = begin + np.uint64(HEADER), 0, 0, 0
    for side, bands in _LAYOUT:
        size = side * side
        differences = np.empty((bands, size), np.int16)
        for band in range(bands):
            _differ(record[value : value + size], differences[band], side)
            value += size
        products = _products(differences)
        left = np.empty(size, np.int16)
        for band in range(bands):
            chosen = _solve(products, band)
            out[coefficient : coefficient + band] = chosen.view(np.uint8)
            coefficient += band
            _subtract(chosen, differences, band, left)
            at, block = _pack(left.view(np.uint16), side, at, out, block)
    store_word(at, U0)
    return int(at - begin) + PADDING


@compiled
def _differ(pixels: NDArray[np.uint16], out: NDArray[np.int16], side: int) -> None:
    """Invert `_sum_up`."""
    out[0] = np.int16(pixels[0])
    for i in range(1, side):
        out[i] = np.int16(pixels[i] - pixels[i - 1])
    before, here, there = pixels[: len(pixels) - side], pixels[side:], out[side:]
    for i in range(len(here)):
        there[i] = np.int16(here[i] - before[i])


@compiled
def _products(differences: NDArray[np.int16]) -> NDArray[np.int64]:
    """Return the sum of the products of each two bands, exactly, so that it is the same on any machine."""
    bands, size = differences.shape
    products = np.empty((bands, bands), np.int64)
    for a in range(bands):
        first = differences[a]
        for b in range(a + 1):
            second = differences[b]
            total = np.int64(0)
            for i in range(size):
                total += np.int32(first[i]) * np.int32(second[i])
            products[a, b] = products[b, a] = total
    return products


@compiled
def _solve(products: NDArray[np.int64], band: int) -> NDArray[np.int8]:
    """Return the coefficients of least squares by which a band follows from those before it, in units of 2^−3."""
    matrix = products[:band, :band].astype(np.float64)
    target = products[:band, band].astype(np.float64)
    for i in range(band):
        matrix[i, i] += 1  # Bands without differences, or with the same, have no solution of their own.
    # Gaussian elimination; a matrix of products needs no pivots.
    for i in range(band):
        for j in range(i + 1, band):
            factor = matrix[j, i] / matrix[i, i]
            for k in range(i, band):
                matrix[j, k] -= factor * matrix[i, k]
            target[j] -= factor * target[i]
    for i in range(band - 1, -1, -1):
        for k in range(i + 1, band):
            target[i] -= matrix[i, k] * target[k]
        target[i] /= matrix[i, i]
    chosen = np.empty(band, np.int8)
    for i in range(band):
        chosen[i] = np.int8(min(max(np.floor(target[i] * (1 << FRACTION) + 0.5), -128), 127))
    return chosen


@compiled
def _subtract(k: NDArray[np.int8], differences: NDArray[np.int16], band: int, out: NDArray[np.int16]) -> None:
    """Write what the prediction of a band from those before it leaves, with its sign in the lowest bit."""
    mine = differences[band]
    out[:] = ROUND
    for other in range(band):
        factor, theirs = np.int16(k[other]), differences[other]
        for i in range(len(out)):
            out[i] += np.int16(factor * theirs[i])
    for i in range(len(out)):
        left = np.int16(mine[i] - np.int16(out[i] >> FRACTION)) if band else mine[i]
        out[i] = np.int16(np.int16(left << 1) ^ np.int16(left >> 15))


@compiled
def _pack(values: NDArray[np.uint16], side: int, at: Word, out: NDArray[np.uint8], block: int) -> tuple[Word, int]:
    """Write the blocks of a band and their widths; return the address behind them and the number of the next."""
    begin, row = np.uint64(values.ctypes.data), np.uint64(2 * side)
    for y in range(0, side, 2):
        for x in range(0, side, 4):
            place = begin + np.uint64(2 * (y * side + x))
            upper, lower = load_word(place), load_word(place + row)
            bits = upper | lower
            bits |= bits >> U32
            width = bit_length((bits | bits >> U16) & MASKS[16])
            code = min(width, np.uint64(15))
            if code == 15:
                width = U16
            upper, lower = _join(upper, width), _join(lower, width)
            store_word(at, upper)
            if width & U1:
                lower = (lower << U4) | (upper >> (U4 * width - U4))
            store_word(at + (width >> U1), lower)
            at += width
            if block < BLOCKS // 2:
                out[COEFFICIENTS + block] = code
            else:
                out[COEFFICIENTS + block - BLOCKS // 2] |= code << U4
            block += 1
    return at, block


@compiled
def _join(values: Word, width: Word) -> Word:
    """Return four uint16 packed contiguously, `width` bits each."""
    pairs = (values & _EVEN) | ((values & ~_EVEN) >> (U16 - width))
    return (pairs & _LOW) | ((pairs >> U32) << (width + width))
