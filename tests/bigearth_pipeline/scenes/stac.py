"""Validation of STAC items by pystac, with the schemas that lie here instead of those of the network."""

import json
from pathlib import Path
from typing import Any

import pystac
import pystac.validation
from pystac.validation.stac_validator import JsonSchemaSTACValidator

SCHEMAS = Path(__file__).parent / "schemas"


def validated(path: Path) -> dict[str, Any]:
    """Return an item, or a collection, that pystac finds valid, with all its extensions."""
    validator = JsonSchemaSTACValidator()
    for file in SCHEMAS.glob("*.json"):
        name, _, version = file.stem.partition("-")
        uri = f"https://stac-extensions.github.io/{name}/{version}/schema.json"
        validator.schema_cache[uri] = json.loads(file.read_text()) | {"$id": uri}
    before = pystac.validation.RegisteredValidator.get_validator()
    pystac.validation.set_validator(validator)
    try:
        item = json.loads(path.read_text())
        checked = pystac.validation.validate_dict(item)
    finally:
        pystac.validation.set_validator(before)
    assert set(item["stac_extensions"]) <= set(checked)
    return item
