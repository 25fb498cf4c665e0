"""Decoding of `bitpack`: pixels predicted from those above and from other bands, and what is left in few bits.

`SPEC.md` says what the bytes mean. Everything but the differences along first rows treats many values at a time, so a
record is decoded in half the time of `blosc-lz4`, from four fifths of its bytes. All arithmetic is modulo 2¹⁶.

The sums and products of numba's integers have 64 bits. Each is cut back to 16 where it is made: then the compiler
computes it with 16, four times as many at a time.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from shards.layout.bands import GROUPS, RECORD_VALUES
from shards.runtime.compiled import Word, compiled, compiled_inline, load_word, pread, store_word, unpack_four

BLOCKS: Final = RECORD_VALUES // 8
COEFFICIENTS: Final = sum(len(group.bands) * (len(group.bands) - 1) // 2 for group in GROUPS)
HEADER: Final = COEFFICIENTS + BLOCKS // 2
"""Bytes before the first block: the coefficients and the widths of the blocks."""
PADDING: Final = 8
"""Bytes behind the last block, so that eight can be read wherever a block begins."""
FRACTION: Final = 3
"""Coefficients are multiples of 2^−3: finer ones gain less than a thousandth of the size."""
ROUND: Final = 1 << FRACTION >> 1
MASKS: Final = np.array([(1 << width) - 1 for width in range(17)], np.uint64)
U0, U1, U4, U8, U16, U32 = (np.uint64(i) for i in (0, 1, 4, 8, 16, 32))

_SHIFTS: Final = np.array(
    [[width * i + 4 * (half * width % 2) for half in (0, 1) for i in range(4)] for width in range(17)], np.uint64
)
"""(17, 8): by how many bits each value of a block of a width is shifted, in the words that begin at half a block."""


def decode(data: NDArray[np.uint8], out: NDArray[np.uint16]) -> bool:
    """Decode a record; return whether `data` is as long as its own header says. If not, nothing is written.

    Args:
        data: (n,) uint8, contiguous.
        out: (80000,) uint16, contiguous.
    """
    return bool(_decode(data.ctypes.data, len(data), out))


@compiled
def first_incomplete(addresses: NDArray[np.uint64], lengths: NDArray[np.int64]) -> int:
    """Return the first record whose length differs from what its header says; n if all agree.

    Args:
        addresses: (n,) uint64, anywhere in memory.
        lengths: (n,) int64 bytes, all of which are there.
    """
    widths = np.empty(BLOCKS, np.uint8)
    for i in range(len(addresses)):
        if not _is_complete(np.uint64(addresses[i]), lengths[i], widths):
            return i
    return len(addresses)


@compiled
def decode_rows(addresses: NDArray[np.uint64], lengths: NDArray[np.int64], out: NDArray[np.uint16]) -> int:
    """Decode records that lie anywhere in memory.

    Args:
        addresses: (n,) uint64.
        lengths: (n,) int64 bytes, all of which are there.
        out: (n, 80000) uint16, contiguous.

    Returns:
        The first record that is not as long as its own header says, where it ends; n if there is none.
    """
    for i in range(len(addresses)):
        if not _decode(addresses[i], lengths[i], out[i]):
            return i
    return len(addresses)


@compiled
def read_rows(
    descriptors: NDArray[np.int64],
    offsets: NDArray[np.int64],
    lengths: NDArray[np.int64],
    out: NDArray[np.uint16],
    scratch: NDArray[np.uint8],
) -> int:
    """Read and decode records that lie in files.

    Args:
        descriptors: (n,) int64, of open files.
        offsets: (n,) int64, where records begin.
        lengths: (n,) int64 bytes.
        out: (n, 80000) uint16, contiguous.
        scratch: (at least the largest length,) uint8.

    Returns:
        The first record that cannot be read or is not as long as its own header says; n if there is none.
    """
    address = np.uint64(scratch.ctypes.data)
    for i in range(len(lengths)):
        # The kernel takes a negative length for a large one.
        if not 0 <= lengths[i] <= len(scratch):
            return i
        count = pread(np.int32(descriptors[i]), address, np.uint64(lengths[i]), offsets[i])
        if count != lengths[i] or not _decode(address, count, out[i]):
            return i
    return len(lengths)


@compiled
def _decode(address: Word, length: int, out: NDArray[np.uint16]) -> bool:
    begin = np.uint64(address)
    widths = np.empty(BLOCKS, np.uint8)
    if not _is_complete(begin, length, widths):
        return False
    coefficients = np.empty(COEFFICIENTS + 8, np.int8)
    for k in range(0, COEFFICIENTS, 8):
        store_word(np.uint64(coefficients.ctypes.data + k), load_word(begin + np.uint64(k)))
    # The sizes are written out, for with numbers that it knows the compiler makes other loops.
    b10, b20, b60 = out[:57_600], out[57_600:79_200], out[79_200:]
    at = _unpack(begin + np.uint64(HEADER), widths[:7200], b10, 120)
    at = _unpack(at, widths[7200:9900], b20, 60)
    _unpack(at, widths[9900:], b60, 20)
    _restore_four(coefficients[:6], b10.view(np.int16))
    _restore_six(coefficients[6:21], b20.view(np.int16))
    _restore_two(coefficients[21:22], b60.view(np.int16))
    for i in range(4):
        _sum_up(b10[14_400 * i : 14_400 * (i + 1)], 120)
    for i in range(6):
        _sum_up(b20[3600 * i : 3600 * (i + 1)], 60)
    for i in range(2):
        _sum_up(b60[400 * i : 400 * (i + 1)], 20)
    return True


@compiled
def _is_complete(address: Word, length: int, widths: NDArray[np.uint8]) -> bool:
    """Write the width of each block, and return whether the record is as long as they say."""
    if length < HEADER + PADDING:
        return False
    return bool(_read_widths(address + np.uint64(COEFFICIENTS), widths) == length - HEADER - PADDING)


@compiled
def _read_widths(address: Word, widths: NDArray[np.uint8]) -> int:
    """Write the width of each block; return their sum."""
    packed = np.empty(BLOCKS // 2, np.uint8)
    words = packed.view(np.uint64)
    for i in range(len(words)):
        words[i] = load_word(address + np.uint64(i) * U8)
    for i in range(len(packed)):
        low, high = np.uint8(packed[i] & 15), np.uint8(packed[i] >> 4)
        widths[i] = np.uint8(low + np.uint8(low == 15))
        widths[i + len(packed)] = np.uint8(high + np.uint8(high == 15))
    total = 0
    for i in range(len(widths)):
        total += widths[i]
    return total


@compiled
def _unpack(at: Word, widths: NDArray[np.uint8], out: NDArray[np.uint16], side: int) -> Word:
    """Write the blocks of a group to their places; return the address behind them."""
    row = np.uint64(2 * side)
    to = np.uint64(out.ctypes.data)
    shifts = np.uint64(_SHIFTS.ctypes.data)
    block = U0
    for _ in range(0, len(out) // side, 2):
        for _ in range(0, side, 4):
            width = np.uint64(widths[block])
            block += U1
            by, mask = shifts + width * np.uint64(64), MASKS[width]
            unpack_four(to, at, by, mask)
            # The fifth value begins in the middle of a byte if a block has an odd number of bytes.
            unpack_four(to + row, at + (width >> U1), by + np.uint64(32), mask)
            at += width
            to += U8
        to += row
    return at


@compiled_inline
def _signed(value: Any) -> Any:
    """Return what is encoded with its sign in the lowest bit."""
    bits = np.uint16(value)
    return np.int16(np.uint16(bits >> 1) ^ np.uint16(-(bits & 1)))


@compiled_inline
def _guess(total: Any) -> Any:
    return np.int16(np.int16(total + ROUND) >> FRACTION)


@compiled
def _restore_two(k: NDArray[np.int8], band: NDArray[np.int16]) -> None:
    """Turn what predictions from the bands before have left into differences."""
    n = np.uint64(len(band) // 2)
    k0 = k[0]
    for pixel in range(len(band) // 2):
        i = np.uint64(pixel)
        a = np.int16(_signed(band[i]))
        band[i] = a
        i += n
        band[i] = np.int16(_signed(band[i]) + _guess(k0 * a))


@compiled
def _restore_four(k: NDArray[np.int8], band: NDArray[np.int16]) -> None:
    n = np.uint64(len(band) // 4)
    k0, k1, k2, k3, k4, k5 = k[0], k[1], k[2], k[3], k[4], k[5]
    for pixel in range(len(band) // 4):
        i = np.uint64(pixel)
        a = np.int16(_signed(band[i]))
        band[i] = a
        i += n
        b = np.int16(_signed(band[i]) + _guess(k0 * a))
        band[i] = b
        i += n
        c = np.int16(_signed(band[i]) + _guess(k1 * a + k2 * b))
        band[i] = c
        i += n
        band[i] = np.int16(_signed(band[i]) + _guess(k3 * a + k4 * b + k5 * c))


@compiled
def _restore_six(k: NDArray[np.int8], band: NDArray[np.int16]) -> None:
    n = np.uint64(len(band) // 6)
    k0, k1, k2, k3, k4, k5, k6, k7 = k[0], k[1], k[2], k[3], k[4], k[5], k[6], k[7]
    k8, k9, k10, k11, k12, k13, k14 = k[8], k[9], k[10], k[11], k[12], k[13], k[14]
    for pixel in range(len(band) // 6):
        i = np.uint64(pixel)
        a = np.int16(_signed(band[i]))
        band[i] = a
        i += n
        b = np.int16(_signed(band[i]) + _guess(k0 * a))
        band[i] = b
        i += n
        c = np.int16(_signed(band[i]) + _guess(k1 * a + k2 * b))
        band[i] = c
        i += n
        d = np.int16(_signed(band[i]) + _guess(k3 * a + k4 * b + k5 * c))
        band[i] = d
        i += n
        e = np.int16(_signed(band[i]) + _guess(k6 * a + k7 * b + k8 * c + k9 * d))
        band[i] = e
        i += n
        band[i] = np.int16(_signed(band[i]) + _guess(k10 * a + k11 * b + k12 * c + k13 * d + k14 * e))


@compiled
def _sum_up(pixels: NDArray[np.uint16], side: int) -> None:
    """Turn differences into pixels: along the first row, then down the columns."""
    for i in range(1, side):
        pixels[i] += pixels[i - 1]
    for i in range(len(pixels) - side):
        pixels[np.uint64(i) + np.uint64(side)] += pixels[np.uint64(i)]
