"""Additions to a Parquet file that make it GeoParquet 1.1.0 (OGC): two columns, and a note in its metadata."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bigearth_pipeline.geo.squares import bounds, polygons

_SIDES: Final = ("xmin", "ymin", "xmax", "ymax")
_BOX: Final = pa.struct([pa.field(side, pa.float64(), nullable=False) for side in _SIDES])
FIELDS: Final = (pa.field("bbox", _BOX), pa.field("geometry", pa.binary()))
"""Columns of bounds, by which readers skip what lies elsewhere, and of squares."""


def note(extent: Sequence[float] | None, projjson: Mapping[str, Any] | None = None) -> bytes:
    """Return the metadata under the key `geo`.

    Args:
        extent: west, south, east, north of all squares; None if no place is known.
        projjson: system of the coordinates; None for longitude and latitude on WGS 84.
    """
    geometry: dict[str, Any] = {"encoding": "WKB", "geometry_types": ["Polygon"], "orientation": "counterclockwise"}
    if projjson is not None:
        geometry["crs"] = projjson
    if extent is not None:
        geometry["bbox"] = list(extent)
    geometry["covering"] = {"bbox": {side: ["bbox", side] for side in _SIDES}}
    return json.dumps({"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": geometry}}).encode()


def columns(corners: NDArray[np.float64]) -> list[pa.Array]:
    """Return `FIELDS` of squares, (n, 5, 2); null where a place is not known."""
    known = ~np.isnan(corners[:, 0, 0])
    sides = [pa.array(side) for side in bounds(corners).T]
    boxes = pa.StructArray.from_arrays(sides, fields=list(_BOX), mask=pa.array(~known))
    return [boxes, pa.array(polygons(corners), pa.binary())]
