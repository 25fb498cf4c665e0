"""The twelve Sentinel-2 bands of a BigEarthNet patch and their places in a record.

A record is one patch at native resolution: 80,000 uint16 in the order
B02 B03 B04 B08 (10 m) | B05 B06 B07 B8A B11 B12 (20 m) | B01 B09 (60 m), each band row by row from the north-west.
"""

from typing import Final

from shards.layout.record import S2, RecordGroup, RecordLayout

LAYOUT: Final = RecordLayout(
    (
        RecordGroup("b10", 10, ("B02", "B03", "B04", "B08"), role=S2),
        RecordGroup("b20", 20, ("B05", "B06", "B07", "B8A", "B11", "B12"), role=S2),
        RecordGroup("b60", 60, ("B01", "B09"), role=S2),
    )
)
"""Layout of a store without further groups; every other layout begins with these. All below follows from it."""

GROUPS: Final = LAYOUT.record
B10, B20, B60 = GROUPS
BANDS: Final = LAYOUT.bands
"""Band names in record order."""

GROUP_OF: Final = LAYOUT.group_of

RECORD_VALUES: Final = LAYOUT.record_values
"""Values of a record: 80,000."""
RECORD_BYTES: Final = 2 * RECORD_VALUES
"""Bytes of a decoded record: 160,000."""

BAND_SLICES: Final = LAYOUT.band_slices
"""Place of each band in a record."""
