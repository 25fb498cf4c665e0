"""Two kernels from records encoded as `bitpack` to records: where the rows of blocks begin, then the pixels.

`shards/SPEC.md` says what the bytes mean and `shards.codec.bitpack.decoder` does the same on the host; the bits agree.
Differences add up from north to south in every column by itself, and a band is predicted from those before it pixel by
pixel. So one program restores one group of bands of a record: it goes down the rows with all columns side by side, and
keeps the sums of its bands in registers. All of Triton that `bitpack` needs is in this file.
"""

from typing import Final

import torch
import triton
import triton.language as tl
from torch import Tensor

from shards.codec.bitpack.decoder import BLOCKS, COEFFICIENTS, FRACTION, HEADER, ROUND
from shards.layout.bands import GROUPS, RECORD_VALUES

_LINES: Final = sum(len(group.bands) * group.size // 2 for group in GROUPS)
"""Lines of blocks of a record, each as high as two rows of pixels: 440."""


def unpack(arena: Tensor, begins: Tensor, lengths: Tensor, out: Tensor) -> None:
    """Decode records; nothing waits for the device.

    Whatever the records hold, no byte outside of them is read, and none outside of `out` written. That a header says as
    many bytes as there are is for the host to check: see `trainer.data.device.encoded`.

    Args:
        arena: bytes that hold the records, (size,) uint8, on the device.
        begins: (n,) int64 on the device, where records begin.
        lengths: (n,) int64 on the device, bytes of each.
        out: (n, 80000) uint16 on the device, contiguous.
    """
    n = len(begins)
    lines = torch.empty((n, _LINES), dtype=torch.int32, device=arena.device)
    sizes = {"LINES": _LINES, "COEFFICIENTS": COEFFICIENTS, "HALF": BLOCKS // 2}
    _find_lines[(n,)](arena, begins, lengths, lines, LANES=1 << (_LINES - 1).bit_length(), **sizes)
    _restore[(n, len(GROUPS))](
        arena, begins, lengths, lines, out,
        VALUES=RECORD_VALUES, HEADER=HEADER, ROUND=ROUND, FRACTION=FRACTION, num_warps=1, **sizes,
    )  # fmt: skip


@triton.jit
def _find_lines(
    arena, begins, lengths, lines,
    LINES: tl.constexpr, LANES: tl.constexpr, COEFFICIENTS: tl.constexpr, HALF: tl.constexpr,
):  # fmt: skip
    """Write where the lines of blocks of record n begin, counted from the first block: lines is (n, LINES) int32."""
    n = tl.program_id(0).to(tl.int64)
    data, length = arena + tl.load(begins + n), tl.load(lengths + n).to(tl.int32)
    # The sizes are written out: 4 · 60 lines of 30 blocks, 6 · 30 of 15, 2 · 10 of 5.
    line = tl.arange(0, LANES)
    block = tl.where(line < 240, 30 * line, tl.where(line < 420, 15 * line + 3600, 5 * line + 7800))
    count = tl.where(line < 240, 30, tl.where(line < 420, 15, tl.where(line < LINES, 5, 0)))
    total = tl.full((LANES,), 0, tl.int32)
    for k in range(30):
        total += _width(data, block + k, k < count, length, COEFFICIENTS, HALF)
    tl.store(lines + n * LINES + line, tl.cumsum(total, 0) - total, mask=line < LINES)


@triton.jit
def _restore(
    arena, begins, lengths, lines, records,
    VALUES: tl.constexpr, LINES: tl.constexpr, COEFFICIENTS: tl.constexpr, HALF: tl.constexpr,
    HEADER: tl.constexpr, ROUND: tl.constexpr, FRACTION: tl.constexpr,
):  # fmt: skip
    """Decode one group of record n: program (n, group)."""
    n = tl.program_id(0).to(tl.int64)
    data, length = arena + tl.load(begins + n), tl.load(lengths + n).to(tl.int32)
    lines += n * LINES
    out = records + n * VALUES
    # Side, bands, both up to powers of 2; the first block, line, value and coefficient. Compilers know them so.
    if tl.program_id(1) == 0:
        _restore_group(
            data, length, lines, out, 120, 4, 128, 4, 0, 0, COEFFICIENTS, HALF, HEADER, ROUND, FRACTION,
        )  # fmt: skip
    elif tl.program_id(1) == 1:
        _restore_group(
            data, length, lines + 240, out + 57_600, 60, 6, 64, 8, 7200, 6,
            COEFFICIENTS, HALF, HEADER, ROUND, FRACTION,
        )  # fmt: skip
    else:
        _restore_group(
            data, length, lines + 420, out + 79_200, 20, 2, 32, 2, 9900, 21,
            COEFFICIENTS, HALF, HEADER, ROUND, FRACTION,
        )  # fmt: skip


@triton.jit
def _restore_group(
    data, length, lines, out,
    SIDE: tl.constexpr, BANDS: tl.constexpr, COLUMNS: tl.constexpr, ROWS: tl.constexpr,
    FIRST_BLOCK: tl.constexpr, FIRST_COEFFICIENT: tl.constexpr,
    COEFFICIENTS: tl.constexpr, HALF: tl.constexpr, HEADER: tl.constexpr, ROUND: tl.constexpr, FRACTION: tl.constexpr,
):  # fmt: skip
    """Decode a group: bands are the rows of a tile, columns of pixels its columns."""
    band, column = tl.arange(0, ROWS)[:, None], tl.arange(0, COLUMNS)[None, :]
    known = (band < BANDS) & (column < SIDE)
    sums = tl.full((ROWS, COLUMNS), 0, tl.int32)
    for pair in range(SIDE // 2):
        line = band * (SIDE // 2) + pair
        width = _width(data, FIRST_BLOCK + line * (SIDE // 4) + column // 4, known, length, COEFFICIENTS, HALF)
        # Each of the four columns of a block knows its width, and only the first one counts.
        before = tl.cumsum(tl.where(column % 4 == 0, width, 0), 1) - width
        at = HEADER + tl.load(lines + line, mask=band < BANDS, other=0) + before
        for lower in tl.static_range(2):
            code = _value(data, at, width, 4 * lower + column % 4, known, length)
            difference = (code >> 1) ^ -(code & 1)
            for b in tl.static_range(1, BANDS):
                coefficient = FIRST_COEFFICIENT + b * (b - 1) // 2 + band
                factor = tl.load(data + coefficient, mask=(band < b) & (coefficient < length), other=0)
                total = tl.sum(factor.to(tl.int8, bitcast=True).to(tl.int32) * difference, 0)[None, :] + ROUND
                guess = total.to(tl.int16).to(tl.int32) >> FRACTION
                difference = tl.where(band == b, (difference + guess).to(tl.int16).to(tl.int32), difference)
            if lower:
                sums += difference
            elif pair == 0:
                sums = tl.cumsum(difference, 1)
            else:
                sums += difference
            pixel = band * (SIDE * SIDE) + (2 * pair + lower) * SIDE + column
            tl.store(out + pixel, sums.to(tl.uint16), mask=known)


@triton.jit
def _width(data, block, known, length, COEFFICIENTS: tl.constexpr, HALF: tl.constexpr):
    """Return the widths of blocks as int32, 0 for those that are not known."""
    upper = block >= HALF
    at = COEFFICIENTS + tl.where(upper, block - HALF, block)
    code = tl.load(data + at, mask=known & (at < length), other=0).to(tl.int32)
    code = tl.where(upper, code >> 4, code & 15)
    return code + (code == 15).to(tl.int32)


@triton.jit
def _value(data, at, width, index, known, length):
    """Return value number `index` of blocks that begin at `at`: `width` bits of up to three bytes."""
    bit = index * width
    at += bit >> 3
    end = (bit & 7) + width
    word = tl.load(data + at, mask=known & (end > 0) & (at < length), other=0).to(tl.int32)
    word |= tl.load(data + at + 1, mask=known & (end > 8) & (at + 1 < length), other=0).to(tl.int32) << 8
    word |= tl.load(data + at + 2, mask=known & (end > 16) & (at + 2 < length), other=0).to(tl.int32) << 16
    return (word >> (bit & 7)) & ((1 << width) - 1)
