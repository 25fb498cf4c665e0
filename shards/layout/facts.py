"""The facts of a patch, each in one line: the index, the JSON member, `Patch`, conditions and checks follow from it."""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from types import NoneType
from typing import Annotated, Any, Final, get_args, get_type_hints

import pyarrow as pa

from shards.layout.classes import FORTY_THREE, decode_labels
from shards.layout.record import PATCH_METRES

TEXTS: Final = pa.dictionary(pa.int32(), pa.string())
"""Arrow type of a column of few different texts."""
COUNTRIES: Final = (
    *("Austria", "Belgium", "Finland", "Ireland", "Kosovo", "Lithuania", "Luxembourg", "Portugal", "Serbia"),
    "Switzerland",
)
"""Countries of BigEarthNet, as its table names them. A store of other patches may have others."""
OFFSET_BASELINES: Final = range(400, 9999)
"""Processing baselines whose digital numbers are 1000 higher (BOA_ADD_OFFSET of Sentinel-2 Level-2A)."""
MAX_KEY: Final = 92
"""Longest key whose member names fit into the 100 bytes that the header of a tar has for them."""
_KEY: Final = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_KEY}}}")


def is_key(name: str) -> bool:
    """Tell whether a patch can have this name: every reader of tars splits the names of its members at one place."""
    return _KEY.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class Column:
    """Storage of a fact.

    Attributes:
        type: Arrow type of its column in `index.parquet`.
        meaning: what it says, with units.
        json: members of the JSON object beside the record that hold it, each an attribute of `Facts`; None for one that
            has the name and the value of the fact.
        added: stores of the first writer lack the column; it reads as null.
        optional: only stores that were built so have the column; a patch of any other has None.
    """

    type: pa.DataType
    meaning: str
    json: tuple[str, ...] | None = None
    added: bool = False
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Facts:
    """All that is known of a patch beside its pixels. A fact whose type allows None is None if it is unknown.

    This class is the table from which the rest of the format follows; `FIELDS` has it as data.
    """

    key: Annotated[str, Column(pa.string(), "patch name")]
    split: Annotated[str, Column(TEXTS, "`train`, `validation` or `test`")]
    label_mask: Annotated[int, Column(pa.uint32(), "bit i is set for class i of the 19", json=("labels",))]
    country: Annotated[str | None, Column(TEXTS, "country; null where the source does not tell")]
    date: Annotated[datetime, Column(pa.timestamp("s"), "acquisition time, UTC")]
    epsg: Annotated[int, Column(pa.int32(), "code of the projected system, in metres", json=("crs",))]
    ulx: Annotated[float, Column(pa.float64(), "easting of the upper-left corner, m", json=("transform", "bounds"))]
    uly: Annotated[float, Column(pa.float64(), "northing of the upper-left corner, m", json=())]
    seasonal_snow: Annotated[bool | None, Column(pa.bool_(), "flagged as snowy by the dataset's authors")]
    cloud_or_shadow: Annotated[bool | None, Column(pa.bool_(), "flagged as cloudy or shadowed by them")]
    baseline: Annotated[int | None, Column(pa.int16(), "processing baseline, 400 for `N0400`", added=True)] = None
    nodata_pixels: Annotated[int | None, Column(pa.int32(), "native pixels that are 0 in the source", added=True)] = (
        None
    )
    labels43: Annotated[
        int | None, Column(pa.uint64(), "bit i is set for class i of the 43", json=(), optional=True)
    ] = None

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the patch's classes, in the order of the 19."""
        return decode_labels(self.label_mask)

    @property
    def names43(self) -> tuple[str, ...] | None:
        """Names of the patch's classes of the 43 of BigEarthNet v1, in their order; None where the store has none."""
        return None if self.labels43 is None else FORTY_THREE.decode(self.labels43)

    @property
    def crs(self) -> str:
        """Coordinate reference system, such as `EPSG:32633`."""
        return f"EPSG:{self.epsg}"

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right, top in metres of the coordinate reference system."""
        return (self.ulx, self.uly - PATCH_METRES, self.ulx + PATCH_METRES, self.uly)

    def transform(self, metres: int = 10) -> tuple[float, float, float, float, float, float]:
        """Affine transform (a, b, c, d, e, f) of pixels of `metres`: x = a·col + b·row + c, y = d·col + e·row + f."""
        return (float(metres), 0.0, self.ulx, 0.0, -float(metres), self.uly)


@dataclass(frozen=True, slots=True)
class Field:
    """A fact as data: its name, and its `Column`.

    Attributes:
        name: of the attribute of `Facts` and `Patch`, and of the column of the index.
        column: how it is stored.
        nullable: whether its column may hold nulls.
    """

    name: str
    column: Column
    nullable: bool

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the members of the JSON object that hold the fact."""
        return (self.name,) if self.column.json is None else self.column.json


def _fields() -> tuple[Field, ...]:
    fields = []
    for name, hint in get_type_hints(Facts, include_extras=True).items():
        kind, column = get_args(hint)
        fields.append(Field(name, column, NoneType in get_args(kind)))
    return tuple(fields)


FIELDS: Final = _fields()
"""All facts, in the order of the columns of the index."""
NAMES: Final = tuple(field.name for field in FIELDS)
ADDED: Final = tuple(field.name for field in FIELDS if field.column.added)
"""Facts that stores of the first writer lack; they read as null."""
OPTIONAL: Final = frozenset(field.name for field in FIELDS if field.column.optional)
"""Facts whose columns only some stores have."""
NULLABLE: Final = frozenset(field.name for field in FIELDS if field.nullable)
_MEMBERS: Final = tuple(member for field in FIELDS for member in field.members)
# Looked up and converted with as few calls as can be: this is done for every patch of a build.
_values_of: Final = attrgetter(*_MEMBERS)
_DATES: Final = tuple(name for name in _MEMBERS if get_type_hints(Facts).get(name) is datetime)
_METHODS: Final = tuple(name for name in _MEMBERS if callable(getattr(Facts, name)))
_encode: Final = json.JSONEncoder(separators=(",", ":")).encode


def json_values(facts: Facts) -> dict[str, Any]:
    """Return the members of the JSON object that lies beside a patch's record in a tar, as a JSON parser gives them."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in _members(facts).items()}


def json_member(facts: Facts) -> bytes:
    """Return the content of the `.json` member of a patch."""
    return _encode(_members(facts)).encode()


def _members(facts: Facts) -> dict[str, Any]:
    values = dict(zip(_MEMBERS, _values_of(facts), strict=True))
    for name in _DATES:
        values[name] = values[name].isoformat()
    for name in _METHODS:
        values[name] = values[name]()
    return values
