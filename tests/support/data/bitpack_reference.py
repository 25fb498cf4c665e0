"""The codec `bitpack` as `shards/SPEC.md` states it, step by step, and nothing else."""

import numpy as np
from numpy.typing import NDArray

GROUPS = ((120, 4), (60, 6), (20, 2))
COEFFICIENTS, BLOCKS, PADDING = 22, 10_000, 8


def any_encoding(rng: np.random.Generator, low: int = 0, high: int = 15) -> bytes:
    """Return a record that no encoder has made: any coefficients, bits and codes of widths from `low` to `high`."""
    codes = rng.integers(low, high, BLOCKS, np.uint8, endpoint=True)
    widths = codes[: BLOCKS // 2] | codes[BLOCKS // 2 :] << 4
    size = int(np.where(codes == 15, 16, codes).sum(dtype=np.int64))
    return rng.bytes(COEFFICIENTS) + widths.tobytes() + rng.bytes(size) + rng.bytes(PADDING)


def widths_of(data: bytes) -> NDArray[np.int64]:
    """Return the widths of the blocks of a record, (10000,)."""
    packed = np.frombuffer(data, np.uint8, BLOCKS // 2, COEFFICIENTS)
    codes = np.concatenate([packed & 15, packed >> 4]).astype(np.int64)
    return np.where(codes == 15, 16, codes)


def blocks_of(data: bytes) -> NDArray[np.int64]:
    """Return the values of the blocks of a record, (10000, 8)."""
    widths = widths_of(data)
    begin = COEFFICIENTS + BLOCKS // 2 + np.cumsum(widths) - widths
    assert len(data) == begin[-1] + widths[-1] + PADDING
    values = np.zeros((BLOCKS, 8), np.int64)
    for width in np.unique(widths[widths > 0]).tolist():
        chosen = widths == width
        stored = np.frombuffer(data, np.uint8)[begin[chosen][:, None] + np.arange(width)]
        bits = np.unpackbits(stored, axis=1, bitorder="little").reshape(-1, 8, width)
        values[chosen] = bits.astype(np.int64) @ (1 << np.arange(width))
    return values


def decode(data: bytes) -> NDArray[np.uint16]:
    """Return the values of a record, (80000,) uint16."""
    coefficients = np.frombuffer(data, np.int8, COEFFICIENTS).tolist()
    blocks = iter(blocks_of(data).reshape(-1, 2, 4))
    record = []
    for side, bands in GROUPS:
        differences: list[NDArray[np.int64]] = []
        for band in range(bands):
            codes = np.block([[next(blocks) for _ in range(side // 4)] for _ in range(side // 2)])
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
