"""The table of patches as GeoParquet 1.1 and as CSV.

| column | type | what it holds |
|---|---|---|
| `name` | string | name of the patch, or of the scene with column and row of the window |
| `epsg`, `ulx`, `uly` | int32, float64 | projected system and upper-left corner, m; null where they are not known |
| `missing` | float32 | share of the area without data, saturated or hidden by clouds, 0 to 1 |
| `status` | string | `ok`, `missing` (more than was allowed), or why the patch cannot be used |
| `labels` | list of string | classes at or above their thresholds; null without a result |
| `label_mask` | uint32, of more than 32 classes uint64 | the same: bit i for class i |
| one per class, by its name | float32 | probability, 0 to 1; null without a result |
| `bbox`, `geometry` | struct, binary | bounds, and the square of the patch |
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bigearth_pipeline.geo import geoparquet
from bigearth_pipeline.geo.squares import bounds
from bigearth_pipeline.scenes.work.units import UnitResult
from bigearth_pipeline.scenes.write.places import System
from shards.storage.atomic import atomic_write

Rows = Iterable[tuple[list[str], UnitResult]]
"""Names of patches, and their results."""
OK: Final = "ok"
MISSING: Final = "missing"


def label_masks(probabilities: NDArray[np.float32], thresholds: Mapping[str, float]) -> NDArray[np.uint64]:
    """Return the classes at or above their thresholds, (n,): bit i for class i."""
    chosen = probabilities >= np.array(list(thresholds.values()), np.float32)
    bits = np.uint64(1) << np.arange(probabilities.shape[1], dtype=np.uint64)
    masks: NDArray[np.uint64] = (chosen * bits).sum(1, dtype=np.uint64)
    return masks


def write_geoparquet(
    path: Path, rows: Callable[[], Rows], thresholds: Mapping[str, float], about: Mapping[str, Any]
) -> None:
    """Write GeoParquet (OGC GeoParquet 1.1.0), whole or not at all.

    Args:
        path: of the file.
        rows: gives the units, each time from the first one.
        thresholds: by class, in the order of the probabilities.
        about: what the predictions are of; kept as JSON under `bep` in the metadata of the file.

    Raises:
        OSError: it cannot be written.
    """
    system, extent = _extent(rows)
    metadata = {
        b"geo": geoparquet.note(extent, system.projjson),
        b"bep": json.dumps(about, ensure_ascii=False, allow_nan=False).encode(),
    }
    schema = pa.schema([*_fields(thresholds), *geoparquet.FIELDS], metadata=metadata)
    with atomic_write(path) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for names, unit in rows():
            columns = [*_columns(names, unit, thresholds), *geoparquet.columns(system.squares(unit))]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def write_csv(path: Path, rows: Rows, thresholds: Mapping[str, float]) -> None:
    """Write the table without geometries as CSV, with labels joined by semicolons.

    Raises:
        OSError: it cannot be written.
    """
    fields = [pa.field("labels", pa.string()) if field.name == "labels" else field for field in _fields(thresholds)]
    schema = pa.schema(fields)
    with atomic_write(path) as file, pyarrow.csv.CSVWriter(file, schema) as writer:
        for names, unit in rows:
            columns = dict(zip(schema.names, _columns(names, unit, thresholds), strict=True))
            joined = [None if labels is None else "; ".join(labels) for labels in columns["labels"].to_pylist()]
            columns["labels"] = pa.array(joined, pa.string())
            writer.write_table(pa.table(columns, schema=schema))


def _fields(thresholds: Mapping[str, float]) -> list[pa.Field]:
    return [
        pa.field("name", pa.string(), nullable=False),
        pa.field("epsg", pa.int32()),
        pa.field("ulx", pa.float64()),
        pa.field("uly", pa.float64()),
        pa.field("missing", pa.float32(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("labels", pa.list_(pa.string())),
        pa.field("label_mask", _mask_type(thresholds)),
        *(pa.field(name, pa.float32()) for name in thresholds),
    ]


def _mask_type(thresholds: Mapping[str, float]) -> pa.DataType:
    """Return the type of masks of as many classes."""
    return pa.uint32() if len(thresholds) <= 32 else pa.uint64()


def _columns(names: list[str], unit: UnitResult, thresholds: Mapping[str, float]) -> list[pa.Array]:
    there, placed = unit.has_result, unit.epsg > 0
    masks = label_masks(np.nan_to_num(unit.probabilities), thresholds)
    labels = [
        [name for bit, name in enumerate(thresholds) if mask >> bit & 1] if has else None
        for mask, has in zip(masks.tolist(), there.tolist(), strict=True)
    ]
    status = [fault or (OK if has else MISSING) for fault, has in zip(unit.faults.tolist(), there, strict=True)]
    return [
        pa.array(names),
        pa.array(unit.epsg, mask=~placed),
        pa.array(unit.ulx, mask=~placed),
        pa.array(unit.uly, mask=~placed),
        pa.array(unit.missing),
        pa.array(status),
        pa.array(labels, pa.list_(pa.string())),
        pa.array(masks, _mask_type(thresholds), mask=~there),
        *(pa.array(np.ascontiguousarray(column), mask=~there) for column in unit.probabilities.T),
    ]


def _extent(rows: Callable[[], Rows]) -> tuple[System, list[float] | None]:
    """Return the system that a table is in, and the bounds of all patches in it; None if no place is known."""
    codes = {code for _, unit in rows() for code in np.unique(unit.epsg).tolist() if code > 0}
    system = System(codes.pop() if len(codes) == 1 else None)
    boxes = list(_known_bounds(system, rows()))
    if not boxes:
        return system, None
    joined = np.concatenate(boxes)
    return system, [*joined[:, :2].min(0).tolist(), *joined[:, 2:].max(0).tolist()]


def _known_bounds(system: System, rows: Rows) -> Iterator[NDArray[np.float64]]:
    for _, unit in rows:
        found = bounds(system.squares(unit))
        found = found[~np.isnan(found[:, 0])]
        if len(found):
            yield found
