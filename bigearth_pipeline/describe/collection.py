"""The STAC 1.1 collection of a store, with the extensions eo, classification and file."""

from typing import Any, Final

from bigearth_pipeline.describe.facts import Facts
from bigearth_pipeline.geo.bands import SPECTRUM
from bigearth_pipeline.geo.stac import file_fields, sha256_of, slug
from shards.layout.bands import GROUP_OF
from shards.metadata.manifest import MANIFEST

TITLE_END: Final = ", shards of bep"
"""By which a collection is known to be one of ours."""
_EXTENSIONS: Final = ("eo/v2.0.0", "classification/v1.1.0", "file/v2.1.0")
_EARTH: Final = [-180.0, -90.0, 180.0, 90.0]
"""Bounds of patches whose places are not known."""
PARQUET: Final = "application/vnd.apache.parquet"
CROISSANT: Final = 'application/ld+json; profile="http://mlcommons.org/croissant/1.1"'


def collection(facts: Facts, croissant: str) -> dict[str, Any]:
    """Return the collection as JSON values.

    Args:
        facts: of the store; the table must be written.
        croissant: name of the file of Croissant in the same folder.

    Raises:
        OSError: the table cannot be read.
    """
    first, last = (f"{date.isoformat()}Z" for date in facts.dates)
    links = [] if facts.origin is None else [{"rel": "derived_from", "href": facts.origin, "type": "text/html"}]
    if facts.licence_page is not None:
        links.append({"rel": "license", "href": facts.licence_page, "type": "text/html"})
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "stac_extensions": [f"https://stac-extensions.github.io/{name}/schema.json" for name in _EXTENSIONS],
        "id": facts.name,
        "title": f"{facts.manifest.dataset}{TITLE_END}",
        "description": facts.description,
        "keywords": ["BigEarthNet", "Sentinel-2", "land cover", "multi-label classification"],
        "license": facts.licence or "other",
        "extent": {
            "spatial": {"bbox": [facts.extent or _EARTH]},
            "temporal": {"interval": [[first, last]]},
        },
        "summaries": {
            "constellation": ["sentinel-2"],
            "gsd": sorted({group.metres for group in GROUP_OF.values()}),
            "bands": [_band(name) for name in SPECTRUM],
        },
        "links": links,
        "assets": _assets(facts, croissant),
    }


def _band(name: str) -> dict[str, Any]:
    spectrum = SPECTRUM[name]
    return {
        "name": name,
        "description": spectrum.use,
        "gsd": GROUP_OF[name].metres,
        "eo:common_name": spectrum.common_name,
        "eo:center_wavelength": spectrum.nanometres / 1000,
    }


def _bitfields(column: str, classes: tuple[str, ...], prefix: str = "") -> list[dict[str, Any]]:
    """Return what the bits of a column of masks mean; the names of all bits of an asset differ by their prefix."""
    return [
        {
            "name": prefix + slug(each),
            "description": f"{column}: {each}",
            "offset": bit,
            "length": 1,
            "classes": [
                {"value": 0, "name": "absent", "description": f"without {each}"},
                {"value": 1, "name": "present", "description": f"with {each}"},
            ],
        }
        for bit, each in enumerate(classes)
    ]


def _assets(facts: Facts, croissant: str) -> dict[str, Any]:
    table = facts.table
    found: dict[str, Any] = {
        "patches": {
            "href": f"./{table.name}",
            "type": PARQUET,
            "title": "Squares of the patches, with the columns of the index",
            "roles": ["data", "metadata"],
            "classification:bitfields": [
                *_bitfields("label_mask", facts.manifest.classes),
                *_bitfields("labels43", facts.manifest.classes43, "labels43_"),
            ],
            **file_fields(table.stat().st_size, sha256_of(table)),
        },
        "croissant": {
            "href": f"./{croissant}",
            "type": CROISSANT,
            "title": "Croissant: files with checksums, fields of the table",
            "roles": ["metadata"],
        },
        "manifest": {
            "href": facts.link(MANIFEST),
            "type": "application/json",
            "title": "Manifest of the store: counts, statistics of the bands, checksums",
            "roles": ["metadata"],
        },
    }
    for info in facts.manifest.files:
        found[info.path.partition(".")[0]] = {
            "href": facts.link(info.path),
            "type": PARQUET,
            "title": f"{info.path} of the store",
            "roles": ["metadata"],
            **file_fields(info.size_bytes, info.sha256),
        }
    return found
