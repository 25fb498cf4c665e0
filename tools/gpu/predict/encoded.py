"""Computed cost of records that the device decodes: the two kernels of `bitpack`, before the one that makes images."""

from typing import Final

from shards.codec.bitpack.decoder import BLOCKS
from shards.layout.bands import GROUPS, RECORD_BYTES
from tools.gpu.predict.counts import Cost

ENCODED_BYTES: Final = 56 * RECORD_BYTES // 100
"""Of a record: the share of a real scene, see `README.md`."""
_LINES: Final = sum(len(group.bands) * group.size // 2 for group in GROUPS) * 4
"""Bytes of the table of a record that the first kernel writes and the second one reads."""


def unpacked(num: int) -> Cost:
    """Return the cost of decoding records on the device, from encoded ones that are there.

    The first kernel reads the widths of the blocks and writes where their lines begin; the second one reads all and
    writes the record. How long the second one waits for itself, row after row of a band, no count of bytes shows.
    """
    return Cost(2, 0, num * (BLOCKS // 2 + 2 * _LINES + ENCODED_BYTES + RECORD_BYTES))
