"""The codec `bitpack` as `shards/SPEC.md` states it, value by value, and nothing else."""

import numpy as np
from numpy.typing import NDArray

GROUPS = ((120, 4), (60, 6), (20, 2))
COEFFICIENTS, BLOCKS, PADDING = 22, 10_000, 8


def widths_of(data: bytes) -> NDArray[np.int64]:
    """Return the widths of the blocks of a record, (10000,)."""
    packed = np.frombuffer(data, np.uint8, BLOCKS // 2, COEFFICIENTS)
    codes = np.concatenate([packed & 15, packed >> 4]).astype(np.int64)
    return np.where(codes == 15, 16, codes)


def decode(data: bytes) -> NDArray[np.uint16]:
    """Return the values of a record, (80000,) uint16."""
    coefficients = np.frombuffer(data, np.int8, COEFFICIENTS).tolist()
    widths, at = widths_of(data).tolist(), COEFFICIENTS + BLOCKS // 2
    assert len(data) == at + sum(widths) + PADDING
    record = []
    for side, bands in GROUPS:
        differences: list[NDArray[np.int64]] = []
        for band in range(bands):
            codes = np.zeros((side, side), np.int64)
            for y in range(0, side, 2):
                for x in range(0, side, 4):
                    width = widths.pop(0)
                    bits = int.from_bytes(data[at : at + width], "little")
                    at += width
                    for i in range(8):
                        codes[y + i // 4, x + i % 4] = bits >> width * i & (1 << width) - 1
            left = np.where(codes % 2 == 0, codes // 2, -(codes + 1) // 2)
            if band:
                total = sum(coefficients.pop(0) * other for other in differences) + 4
                left = left + _signed(np.asarray(total)) // 8
            differences.append(_signed(left))
        for difference in differences:
            difference[0] = np.cumsum(difference[0])
            record.append(np.cumsum(difference, axis=0).astype(np.uint16).ravel())
    return np.concatenate(record)


def _signed(values: NDArray[np.int64]) -> NDArray[np.int64]:
    return (values + 32_768) % 65_536 - 32_768
