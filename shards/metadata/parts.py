"""The stored parts of a patch: what is encoded by itself, and which file of a shard holds it.

The Sentinel-2 record is one part in a tar and three in a Zarr store, and comes first; each further group is one part.
"""

from dataclasses import dataclass
from typing import Final

from shards.layout.bands import GROUPS, RECORD_VALUES
from shards.layout.record import S2, RecordLayout

PARTS: Final[dict[str, dict[str, slice]]] = {
    "webdataset": {S2: slice(0, RECORD_VALUES)},
    "zarr": {group.name: group.slice for group in GROUPS},
}
"""Parts of the Sentinel-2 record by store format, with the values of the record that each holds."""


@dataclass(frozen=True, slots=True)
class Part:
    """A stored part of a patch.

    Attributes:
        name: prefix of its columns in the index, `<name>_offset`, `<name>_length` and `<name>_crc32c`.
        file: number of its file among those of a shard.
        size_bytes: decoded.
        codec: name of its codec; None stands for that of the store.
    """

    name: str
    file: int
    size_bytes: int
    codec: str | None


def parts_of(store_format: str, layout: RecordLayout) -> tuple[Part, ...]:
    """Return the parts of a patch in stores of a format and layout, in the order of their columns in the index."""
    record = [
        Part(name, file, 2 * (values.stop - values.start), None)
        for file, (name, values) in enumerate(PARTS[store_format].items())
    ]
    # A tar holds all parts, a Zarr shard those of one array.
    further = [
        Part(group.name, 0 if store_format == "webdataset" else file, group.bytes, group.codec)
        for file, group in enumerate(layout.extras, len(record))
    ]
    return (*record, *further)


def num_data_files(store_format: str, layout: RecordLayout) -> int:
    """Return how many files of a shard hold parts; they are its first ones."""
    return 1 + max(part.file for part in parts_of(store_format, layout))


def num_files(store_format: str, layout: RecordLayout) -> int:
    """Return the files of a shard: a tar and its DALI index, or a Zarr shard of each pixel array."""
    return num_data_files(store_format, layout) + (store_format == "webdataset")
