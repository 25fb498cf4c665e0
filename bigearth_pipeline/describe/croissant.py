"""The store as Croissant 1.1 (MLCommons) with GeoCroissant 1.0: files with checksums, and fields of the table."""

from typing import Any, Final

from bigearth_pipeline.describe.facts import Facts
from bigearth_pipeline.geo.bands import SPECTRUM
from bigearth_pipeline.geo.stac import sha256_of
from shards.layout.bands import GROUP_OF
from shards.layout.classes import FORTY_THREE
from shards.metadata.entries import FileInfo

VERSIONS: Final = ("http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/geo/1.0")
RECORDS_TEXT: Final = "One record a patch; pixels are in the shards, in the format of their manifest."
"""By which, with `VERSIONS`, a description is known to be one of ours."""
_PUBLISHED: Final = {"v1": "2019", "v2": "2024"}
"""Years of the papers."""
_CREATORS: Final = {
    "v1": ("Gencer Sumbul", "Marcela Charfuelan", "Begüm Demir", "Volker Markl"),
    "v2": (
        "Kai Norman Clasen", "Leonard Hackel", "Tom Burgert", "Gencer Sumbul", "Begüm Demir", "Volker Markl",
    ),
}  # fmt: skip
"""Their authors."""
_TABLE: Final = "patches"
_PARQUET: Final = "application/x-parquet"
"""As Croissant names it."""
_FIELDS: Final = {
    "key": ("sc:Text", "name of the patch"),
    "split": ("sc:Text", "train, validation or test"),
    "shard": ("sc:Text", "name of its shard"),
    "position": ("cr:Int32", "place in the shard, from 0"),
    "label_mask": ("cr:UInt32", "classes: bit i for class i"),
    "country": ("sc:Text", "country; null where the source tells none"),
    "date": ("sc:DateTime", "sensing time, UTC"),
    "epsg": ("cr:Int32", "code of the projected system"),
    "ulx": ("cr:Float64", "easting of the upper-left corner, m"),
    "uly": ("cr:Float64", "northing of the upper-left corner, m"),
}
"""Columns of the table that are fields of a record: type, and what they hold."""
_FIELDS_43: Final = {FORTY_THREE.column: ("cr:UInt64", "classes of BigEarthNet v1: bit i for class i of its 43")}
"""Further ones of a store with labels of these."""
_CR: Final = (
    "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field", "fileProperty",
    "fileObject", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5", "parentField",
    "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate", "separator", "source",
    "subField", "transform",
)  # fmt: skip
"""Terms of Croissant 1.1 that stand for themselves in its namespace."""


def croissant(facts: Facts) -> dict[str, Any]:
    """Return the description as JSON-LD; the table must be written.

    Raises:
        OSError: the table cannot be read.
    """
    found: dict[str, Any] = {
        "@context": _context(),
        "@type": "sc:Dataset",
        "conformsTo": list(VERSIONS),
        "name": facts.name,
        "description": facts.description,
        "version": f"{facts.manifest.source_version.removeprefix('v')}.0.0",
        "keywords": ["BigEarthNet", "Sentinel-2", "land cover", "multi-label classification"],
        "temporalCoverage": "/".join(f"{date.date().isoformat()}" for date in facts.dates),
        "geocr:coordinateReferenceSystem": "EPSG:4326",
        "geocr:spatialResolution": _quantity(min(group.metres for group in GROUP_OF.values()), "m"),
        "geocr:bandConfiguration": {
            "@type": "geocr:BandConfiguration",
            "geocr:totalBands": len(facts.manifest.bands),
            "geocr:bandNameList": list(facts.manifest.bands),
        },
        "geocr:spectralBandMetadata": [
            {
                "@type": "geocr:SpectralBand",
                "name": band,
                "geocr:centerWavelength": _quantity(SPECTRUM[band].nanometres, "nm"),
            }
            for band in facts.manifest.bands
        ],
        "distribution": [_table(facts), *(_file(facts, info) for info in _files(facts))],
        "recordSet": [_records(facts)],
    }
    if facts.origin is not None:
        found |= {
            "url": facts.origin,
            "license": facts.licence_page,
            "citeAs": facts.citation,
            "creator": [{"@type": "sc:Person", "name": name} for name in _CREATORS[facts.manifest.source_version]],
            "datePublished": _PUBLISHED[facts.manifest.source_version],
        }
    if facts.extent is not None:
        west, south, east, north = facts.extent
        box = f"{south} {west} {north} {east}"
        found["spatialCoverage"] = {"@type": "sc:Place", "sc:geo": {"@type": "sc:GeoShape", "sc:box": box}}
    return found


def _context() -> dict[str, Any]:
    return {
        "@language": "en",
        "@vocab": "https://schema.org/",
        "cr": "http://mlcommons.org/croissant/",
        "geocr": "http://mlcommons.org/croissant/geo/",
        "rai": "http://mlcommons.org/croissant/RAI/",
        "dct": "http://purl.org/dc/terms/",
        "sc": "https://schema.org/",
        "conformsTo": "dct:conformsTo",
        "data": {"@id": "cr:data", "@type": "@json"},
        "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
        "description": {"@container": "@language"},
        "examples": {"@id": "cr:examples", "@type": "@json"},
        "name": {"@container": "@language"},
        **{term: f"cr:{term}" for term in _CR},
    }


def _quantity(value: float, unit: str) -> dict[str, Any]:
    return {"@type": "sc:QuantitativeValue", "sc:value": value, "sc:unitText": unit}


def _table(facts: Facts) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": _TABLE,
        "name": facts.table.name,
        "description": "Squares of the patches, with the columns of the index, as GeoParquet 1.1.",
        "contentUrl": facts.table.name,
        "encodingFormat": _PARQUET,
        "contentSize": f"{facts.table.stat().st_size} B",
        "sha256": sha256_of(facts.table),
    }


def _files(facts: Facts) -> list[FileInfo]:
    return [*facts.manifest.files, *(info for shard in facts.manifest.shards for info in shard.files)]


def _file(facts: Facts, info: FileInfo) -> dict[str, Any]:
    kinds = {"parquet": _PARQUET, "tar": "application/x-tar", "json": "application/json"}
    return {
        "@type": "cr:FileObject",
        "@id": info.path,
        "name": info.path,
        "contentUrl": facts.link(info.path),
        "encodingFormat": kinds.get(info.path.rpartition(".")[2], "application/octet-stream"),
        "contentSize": f"{info.size_bytes} B",
        "sha256": info.sha256,
    }


def _records(facts: Facts) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "records",
        "name": "records",
        "description": RECORDS_TEXT,
        "key": {"@id": "records/key"},
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"records/{name}",
                "name": name,
                "description": text,
                "dataType": kind,
                "source": {"fileObject": {"@id": _TABLE}, "extract": {"column": name}},
            }
            for name, (kind, text) in (_FIELDS | (_FIELDS_43 if facts.manifest.classes43 else {})).items()
        ],
    }
