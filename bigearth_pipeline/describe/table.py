"""The patches of a store as GeoParquet 1.1: the columns of its index, names of classes, and squares in EPSG:4326."""

from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bigearth_pipeline.geo import geoparquet
from bigearth_pipeline.geo.points import DEGREES, projjson
from bigearth_pipeline.geo.squares import extent, squares, to_degrees
from shards.layout.classes import FORTY_THREE, NINETEEN, Nomenclature
from shards.metadata.index import Index
from shards.storage.atomic import atomic_write

_ROWS: Final = 1 << 16
"""Of a row group."""


def write_table(path: Path, index: Index) -> list[float] | None:
    """Write the table, whole or not at all.

    A patch whose system PROJ does not know has neither bounds nor geometry. Equal indexes give equal bytes.

    Args:
        path: of the file.
        index: of the store.

    Returns:
        West, south, east, north of all patches, degrees; None if no place is known.

    Raises:
        PipelineError: PROJ does not work in this environment.
        OSError: it cannot be written.
    """
    table = index.table
    corners = to_degrees(squares(index.column("ulx"), index.column("uly")), index.column("epsg"))
    found = extent(corners)
    columns = dict(zip(table.column_names, table.columns, strict=True)) | {"labels": _names(index, NINETEEN)}
    if index.has(FORTY_THREE):
        columns["names43"] = _names(index, FORTY_THREE)
    columns |= {field.name: each for field, each in zip(geoparquet.FIELDS, geoparquet.columns(corners), strict=True)}
    whole = pa.table(columns).replace_schema_metadata({b"geo": geoparquet.note(found, projjson(DEGREES))})
    with atomic_write(path) as file:
        pq.write_table(whole, file, compression="zstd", row_group_size=_ROWS)
    return found


def _names(index: Index, nomenclature: Nomenclature) -> pa.Array:
    """Return the names of the classes of each patch, a list of strings."""
    rows, classes = np.nonzero(index.labels(nomenclature))
    ends = np.cumsum(np.bincount(rows, minlength=len(index.table)))
    names = pa.array(nomenclature.names).take(pa.array(classes))
    return pa.ListArray.from_arrays(pa.array(np.concatenate([[0], ends]), pa.int32()), names)
