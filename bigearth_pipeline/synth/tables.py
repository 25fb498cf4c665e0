"""The files beside the pixels of a synthetic dataset: version 2's tables, version 1's lists and JSON files."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from bigearth_pipeline.synth.plan import Layout, SynthPatch
from shards.layout.record import PATCH_METRES
from shards.storage.atomic import atomic_write

SCHEMA: Final = pa.schema(
    [
        ("patch_id", pa.string()),
        ("labels", pa.list_(pa.field("element", pa.string()))),
        ("split", pa.string()),
        ("country", pa.string()),
        ("s1_name", pa.string()),
        ("s2v1_name", pa.string()),
        ("contains_seasonal_snow", pa.bool_()),
        ("contains_cloud_or_shadow", pa.bool_()),
    ]
)
"""Columns of both official version 2 tables."""

MAIN_TABLE: Final = "metadata.parquet"
FLAGGED_TABLE: Final = "metadata_for_patches_with_snow_cloud_or_shadow.parquet"
SPLIT_LISTS: Final = {"train": "train.csv", "validation": "val.csv", "test": "test.csv"}
SNOW_LIST: Final = "patches_with_seasonal_snow.csv"
CLOUD_LIST: Final = "patches_with_cloud_and_shadow.csv"

# Word for word as in version 1's files; GDAL would now leave out the axes of the geographic part.
_WKT: Final = (
    'PROJCS["WGS 84 / UTM zone {zone}N",GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563,'
    'AUTHORITY["EPSG","7030"]],AUTHORITY["EPSG","6326"]],PRIMEM["Greenwich",0,AUTHORITY["EPSG","8901"]],'
    'UNIT["degree",0.0174532925199433,AUTHORITY["EPSG","9122"]],AXIS["Latitude",NORTH],AXIS["Longitude",EAST],'
    'AUTHORITY["EPSG","4326"]],PROJECTION["Transverse_Mercator"],PARAMETER["latitude_of_origin",0],'
    'PARAMETER["central_meridian",{meridian}],PARAMETER["scale_factor",0.9996],PARAMETER["false_easting",500000],'
    'PARAMETER["false_northing",0],UNIT["metre",1,AUTHORITY["EPSG","9001"]],AXIS["Easting",EAST],'
    'AXIS["Northing",NORTH],AUTHORITY["EPSG","326{zone}"]]'
)


def write_tables(out: Path, patches: Sequence[SynthPatch], layout: Layout) -> None:
    """Write what the layout has beside its patch folders, each file whole or not at all."""
    if layout == "v2":
        _write_table(out / FLAGGED_TABLE, [patch for patch in patches if patch.snow or patch.cloud])
        _write_table(out / MAIN_TABLE, [patch for patch in patches if not (patch.snow or patch.cloud)])
        return
    _write_list(out / SNOW_LIST, [patch for patch in patches if patch.snow])
    _write_list(out / CLOUD_LIST, [patch for patch in patches if patch.cloud])
    # As in the official lists: no split has flagged patches or such without any of the 19 classes.
    usable = [patch for patch in patches if patch.labels and not (patch.snow or patch.cloud)]
    for split, name in SPLIT_LISTS.items():
        _write_list(out / name, [patch for patch in usable if patch.split == split])


def labels_json(patch: SynthPatch) -> str:
    """Return the content of a version 1 patch's `_labels_metadata.json`."""
    mission, _, time, _, orbit, tile = patch.product.parts
    named_time = patch.name.split("_")[2]
    return json.dumps(
        {
            "labels": patch.clc_labels,
            "coordinates": {
                "ulx": patch.ulx,
                "uly": patch.uly,
                "lrx": patch.ulx + PATCH_METRES,
                "lry": patch.uly - PATCH_METRES,
            },
            "projection": _WKT.format(zone=(zone := patch.product.epsg - 32600), meridian=6 * zone - 183),
            "tile_source": f"{mission}_MSIL1C_{named_time}_N0205_{orbit}_{tile}_{time}.SAFE",
            "acquisition_date": f"{patch.date:%Y-%m-%d %H:%M:%S}",
        }
    )


def _write_table(path: Path, patches: Sequence[SynthPatch]) -> None:
    rows = [
        {
            "patch_id": patch.name,
            "labels": patch.labels,
            "split": patch.split,
            "country": patch.product.country,
            "s1_name": f"{patch.product.s1}_{patch.product.parts[5][1:]}_{patch.column}_{patch.row}",
            "s2v1_name": patch.v1_name,
            "contains_seasonal_snow": patch.snow,
            "contains_cloud_or_shadow": patch.cloud,
        }
        for patch in patches
    ]
    with atomic_write(path) as file:
        # Without Arrow's own copy of the schema, as the official tables: readers see the Parquet types alone.
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), file, compression="zstd", store_schema=False)


def _write_list(path: Path, patches: Sequence[SynthPatch]) -> None:
    with atomic_write(path) as file:
        file.write("".join(f"{patch.name}\r\n" for patch in patches).encode())  # The official lists end lines so.
