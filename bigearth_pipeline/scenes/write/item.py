"""The STAC 1.1 item of a result, with the extensions mlm, classification, processing, file, projection and raster."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from bigearth_pipeline.geo.stac import file_fields, sha256_of, slug
from bigearth_pipeline.scenes.grid.scene import CELL_METRES, Scene
from bigearth_pipeline.scenes.write.blend import NODATA, SCALE
from shards.layout.bands import GROUP_OF
from shards.storage.atomic import atomic_write

_EXTENSIONS: Final = ("mlm/v1.4.0", "classification/v1.1.0", "processing/v1.2.0", "file/v2.1.0")
_OF_SCENES: Final = ("projection/v2.0.0", "raster/v2.0.0")
"""Extensions of items that have a map."""
_SEMANTIC: Final = re.compile(r"\d+\.\d+\.\d+(\+[0-9A-Za-z.-]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Subject of an item.

    Attributes:
        name: identifier.
        footprint: longitude and latitude of the outline, counter-clockwise, closed.
        dates: first and last sensing time in UTC.
        members: `about` of each predictor, with `network` (parameters, images) beside it.
        thresholds: by class name.
        lineage: how the result was made, for people.
        scene: None for patches.
        origin: files or folders that were predicted.
    """

    name: str
    footprint: Sequence[tuple[float, float]]
    dates: tuple[datetime, datetime]
    members: Sequence[Mapping[str, Any]]
    thresholds: Mapping[str, float]
    lineage: str
    scene: Scene | None
    origin: Sequence[str]


def write_item(path: Path, result: Result, files: Mapping[str, Path]) -> None:
    """Write an item, whole or not at all.

    Args:
        path: of the item; links and assets are relative to its folder.
        result: to describe.
        files: of the assets by name: `map`, `patches`, `csv`, `preview`; those that are absent are left out.

    Raises:
        OSError: it cannot be written, or a file cannot be read.
    """
    west, south = (min(point[axis] for point in result.footprint) for axis in (0, 1))
    east, north = (max(point[axis] for point in result.footprint) for axis in (0, 1))
    item = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [
            f"https://stac-extensions.github.io/{name}/schema.json"
            for name in (*_EXTENSIONS, *(() if result.scene is None else _OF_SCENES))
        ],
        "id": result.name,
        "geometry": {"type": "Polygon", "coordinates": [[list(point) for point in result.footprint]]},
        "bbox": [west, south, east, north],
        "properties": _properties(result),
        "links": [
            {"rel": "derived_from", "href": os.path.relpath(origin, path.parent)} for origin in sorted(result.origin)
        ],
        "assets": {
            **{name: _asset(name, file, path.parent, result) for name, file in files.items()},
            **{f"model-{i}": _model(member, path.parent) for i, member in enumerate(result.members, 1)},
        },
    }
    with atomic_write(path) as out:
        out.write(json.dumps(item, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n")


def _properties(result: Result) -> dict[str, Any]:
    first, last = (f"{date.isoformat()}Z" for date in result.dates)
    names = [str(member["model"]) for member in result.members]
    torch = version("torch")
    seen = [band for member in result.members for band in member["bands"]]
    classes = [{"value": i, "name": slug(name), "description": name} for i, name in enumerate(result.thresholds)]
    found: dict[str, Any] = {
        "datetime": first if first == last else None,
        **({} if first == last else {"start_datetime": first, "end_datetime": last}),
        "description": result.lineage,
        "bands": [{"name": band, "gsd": GROUP_OF[band].metres} for band in dict.fromkeys(seen)],
        "processing:level": "L4",
        "processing:lineage": result.lineage,
        "processing:software": {"bep": version("bigearth-pipeline"), "torch": torch},
        "mlm:name": f"bep {' and '.join(names)}",
        "mlm:architecture": ", ".join(names),
        "mlm:framework": "PyTorch",
        **({"mlm:framework_version": torch} if _SEMANTIC.fullmatch(torch) else {}),
        "mlm:tasks": ["scene-classification"],
        "mlm:total_parameters": sum(member["network"]["parameters"] for member in result.members),
        "mlm:hyperparameters": {
            "runs": len(result.members),
            "tta": result.members[0]["tta"],
            "thresholds": dict(result.thresholds),
        },
        "mlm:input": [image for member in result.members for image in member["network"]["images"]],
        "mlm:output": [
            {
                "name": "probability",
                "tasks": ["scene-classification"],
                "result": {
                    "shape": [-1, len(classes)],
                    "dim_order": ["batch", "class"],
                    "data_type": "float32",
                },
                "classification:classes": classes,
                "post_processing_function": None,
            }
        ],
    }
    if result.scene is not None:
        scene = result.scene
        height, width = scene.rows * CELL_METRES, scene.columns * CELL_METRES
        found |= {
            "gsd": 1200,
            "proj:code": f"EPSG:{scene.epsg}",
            "proj:bbox": [scene.ulx, scene.uly - height, scene.ulx + width, scene.uly],
            "proj:shape": [scene.rows, scene.columns],
            "proj:transform": [CELL_METRES, 0, scene.ulx, 0, -CELL_METRES, scene.uly],
        }
    return found


def _asset(name: str, file: Path, folder: Path, result: Result) -> dict[str, Any]:
    kinds = {
        "map": ("image/tiff; application=geotiff; profile=cloud-optimized", ["data"], "Probability of each class"),
        "patches": ("application/vnd.apache.parquet", ["data"], "Squares with probabilities and labels"),
        "csv": ("text/csv", ["data"], "Probabilities and labels as CSV"),
        "preview": ("image/png", ["overview"], "Quick-look picture"),
    }
    media, roles, title = kinds[name]
    asset: dict[str, Any] = {"href": f"./{file.relative_to(folder)}", "type": media, "roles": roles, "title": title}
    asset |= _file(file)
    if name == "map":
        asset["bands"] = [
            {
                "name": slug(each),
                "description": f"Probability of {each}",
                "data_type": "uint8",
                "nodata": NODATA,
                "raster:scale": 1 / SCALE,
                "raster:offset": 0,
                "raster:sampling": "area",
                "raster:spatial_resolution": CELL_METRES,
            }
            for each in result.thresholds
        ]
    if name in ("patches", "csv"):
        asset["classification:bitfields"] = [
            {
                "name": slug(each),
                "description": f"label_mask: {each}",
                "offset": bit,
                "length": 1,
                "classes": [
                    {"value": 0, "name": "absent", "description": "below its threshold"},
                    {"value": 1, "name": "present", "description": f"at least {threshold:.6g}"},
                ],
            }
            for bit, (each, threshold) in enumerate(result.thresholds.items())
        ]
    return asset


def _model(member: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    path = Path(member["checkpoint"])
    return {
        "href": os.path.relpath(path, folder),
        "type": "application/octet-stream; application=pytorch",
        "title": f"Weights of {member['model']}",
        "roles": ["mlm:model", "mlm:weights"],
        "mlm:artifact_type": "torch.save",
        "bands": [{"name": band, "gsd": GROUP_OF[band].metres} for band in member["bands"]],
        **_file(path),
    }


def _file(path: Path) -> dict[str, Any]:
    return file_fields(path.stat().st_size, sha256_of(path))
