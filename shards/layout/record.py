"""A record as data: the groups of bands that a store holds of each patch.

Three groups make the Sentinel-2 record `s2`, which every store has (`shards.layout.bands`). A store can hold further
groups beside them, such as a reference map or the bands of Sentinel-1: each is stored, checked and read by itself.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias

import numpy as np

from shards.errors import InvalidValue
from shards.text.json_fields import shown

PATCH_METRES: Final = 1200
"""Side of a patch on the ground, in metres."""
S2: Final = "s2"
"""Name of the Sentinel-2 record, and role of the groups that make it."""

Role: TypeAlias = Literal["s2", "values", "codes"]
ROLES: Final[dict[Role, str]] = {
    "s2": "a part of the Sentinel-2 record",
    "values": "measurements, between which values can be interpolated",
    "codes": "numbers of classes, of which each pixel has one",
}
"""Roles of groups, by name."""
DTYPES: Final = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64")
"""NumPy's names of the types that pixels can have; they are stored little-endian."""

MAX_GROUPS: Final = 16
"""Groups of a layout, at most: a row of the index has three columns for each."""
MAX_BANDS: Final = 1024
"""Bands of a group, at most."""
MAX_BYTES: Final = 64 << 20
"""Bytes of a group of one patch, at most."""

_NAME: Final = re.compile("[a-z][a-z0-9_]{0,31}")
_BAND: Final = re.compile("[A-Za-z0-9_-]{1,32}")
_RESERVED: Final = frozenset((S2, "labels", "key", "json", "zarr"))
"""Names of other members of a tar, and of other arrays and files of a Zarr group."""
_MEMBER_NAME: Final = 100
"""Bytes that the header of a tar has for the name of a member."""


@dataclass(frozen=True, slots=True)
class RecordGroup:
    """Bands of one resolution and type, which are contiguous in the record that holds them.

    Attributes:
        name: of the group: its array in a Zarr store, and, unless it is a part of `s2`, the extension of its member in
            a tar and the prefix of its columns in the index. 1 to 32 of a to z, 0 to 9 and `_`, the first a letter.
        metres: ground size of a pixel, in metres; it divides 1200.
        bands: names of the bands, in order.
        dtype: type of the pixels, one of `DTYPES`.
        role: what the pixels are, see `ROLES`.
        codec: name of the codec; None stands for that of the store, or for `blosc-zstd` in a store of `bitpack`, which
            encodes Sentinel-2 records only. Groups of `s2` have that of the store.
        start: index of the group's first value in its record; `RecordLayout` sets it.

    Raises:
        InvalidValue: an attribute is not as described above.
    """

    name: str
    metres: int
    bands: tuple[str, ...]
    dtype: str = "uint16"
    role: Role = "values"
    codec: str | None = None
    start: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        if type(self.name) is not str or not _NAME.fullmatch(self.name) or self.name in _RESERVED:
            raise InvalidValue(
                f"group name {shown(self.name)}, expected 1 to 32 of a to z, 0 to 9 and '_', the first a letter, and "
                f"none of {', '.join(sorted(_RESERVED))}"
            )
        for what, value, holds, expected in (
            (
                "metres",
                self.metres,
                type(self.metres) is int and 0 < self.metres <= PATCH_METRES and PATCH_METRES % self.metres == 0,
                f"a divisor of {PATCH_METRES}",
            ),
            ("dtype", self.dtype, self.dtype in DTYPES, f"one of {', '.join(DTYPES)}"),
            ("role", self.role, self.role in ROLES, f"one of {', '.join(ROLES)}"),
            ("bands", self.bands, 0 < len(self.bands) <= MAX_BANDS, f"1 to {MAX_BANDS} names"),
        ):
            if not holds:
                raise InvalidValue(f"{what} of group {self.name} is {shown(value)}, expected {expected}")
        for i, band in enumerate(self.bands):
            if type(band) is not str or not _BAND.fullmatch(band):
                raise InvalidValue(
                    f"band {i} of group {self.name} is named {shown(band)}, expected 1 to 32 letters, digits, '_', '-'"
                )
        if len(set(self.bands)) < len(self.bands):
            raise InvalidValue(f"two bands of group {self.name} have the same name")
        if self.bytes > MAX_BYTES:
            raise InvalidValue(f"group {self.name} has {self.bytes:,} bytes a patch, expected at most {MAX_BYTES:,}")

    @property
    def size(self) -> int:
        """Side of a band in pixels."""
        return PATCH_METRES // self.metres

    @property
    def band_values(self) -> int:
        """Values of one band."""
        return self.size * self.size

    @property
    def values(self) -> int:
        """Values of all bands of the group."""
        return len(self.bands) * self.band_values

    @property
    def bytes(self) -> int:
        """Bytes of all bands of the group."""
        return self.values * np.dtype(self.dtype).itemsize

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the group: (bands, rows, columns)."""
        return (len(self.bands), self.size, self.size)

    @property
    def dimensions(self) -> tuple[str, str, str, str]:
        """Dimensions of an array of patches; each resolution has names of its own, so that one dataset holds all."""
        bands = f"band_{self.metres}m" if self.role == S2 else f"band_{self.name}"
        return ("patch", bands, f"y_{self.metres}m", f"x_{self.metres}m")

    @property
    def slice(self) -> slice:
        """Place of the group in its record."""
        return slice(self.start, self.start + self.values)


@dataclass(frozen=True, slots=True)
class RecordLayout:
    """The groups of a patch, in order: first those of the Sentinel-2 record.

    Attributes:
        groups: all of them.

    Raises:
        InvalidValue: there are too many, two have the same name, or those of `s2` are not uint16 and the first ones.
    """

    groups: tuple[RecordGroup, ...]

    def __post_init__(self) -> None:
        if not 0 < len(self.groups) <= MAX_GROUPS:
            raise InvalidValue(f"the layout has {len(self.groups)} groups, expected 1 to {MAX_GROUPS}")
        names = [group.name for group in self.groups]
        if twice := [name for name in names if names.count(name) > 1]:
            raise InvalidValue(f"two groups of the layout are named {twice[0]}")
        if [group.role == S2 for group in self.groups] != [i < len(self.record) for i in range(len(self.groups))]:
            raise InvalidValue("the groups of s2 are not the first ones of the layout")
        placed, start = [], 0
        for group in self.groups:
            is_s2 = group.role == S2
            if is_s2 and (group.dtype, group.codec) != ("uint16", None):
                raise InvalidValue(
                    f"group {group.name} of s2 is {group.dtype} of codec {shown(group.codec)}, expected uint16 and None"
                )
            placed.append(replace(group, start=start if is_s2 else 0))
            start += group.values if is_s2 else 0
        object.__setattr__(self, "groups", tuple(placed))

    def with_groups(self, groups: Iterable[RecordGroup]) -> "RecordLayout":
        """Return the layout with further groups at its end."""
        return RecordLayout((*self.groups, *groups))

    @property
    def record(self) -> tuple[RecordGroup, ...]:
        """Groups that make the Sentinel-2 record."""
        return tuple(group for group in self.groups if group.role == S2)

    @property
    def extras(self) -> tuple[RecordGroup, ...]:
        """Groups beside the Sentinel-2 record."""
        return tuple(group for group in self.groups if group.role != S2)

    @property
    def record_values(self) -> int:
        """Values of the Sentinel-2 record."""
        return sum(group.values for group in self.record)

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands of the Sentinel-2 record, in its order."""
        return tuple(band for group in self.record for band in group.bands)

    @property
    def group_of(self) -> dict[str, RecordGroup]:
        """Group of each band of the Sentinel-2 record."""
        return {band: group for group in self.record for band in group.bands}

    @property
    def band_slices(self) -> dict[str, slice]:
        """Place of each band in the Sentinel-2 record, in its order."""
        return {
            band: slice(group.start + i * group.band_values, group.start + (i + 1) * group.band_values)
            for group in self.record
            for i, band in enumerate(group.bands)
        }

    @property
    def max_key(self) -> int:
        """Characters of the longest key whose member names fit into the headers of a tar."""
        longest = max(len(name) for name in ("labels", *(group.name for group in self.extras)))
        return _MEMBER_NAME - len(".") - longest
