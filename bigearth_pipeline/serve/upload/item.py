"""A STAC item of an upload: its assets lead to files of the upload, whatever addresses they have, and nowhere else."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from bigearth_pipeline.errors import BadScene
from bigearth_pipeline.scenes.inputs.files import RASTERS

_MOST_BYTES: Final = 1 << 20
ITEM: Final = "item.json"


def item_of(folder: Path, files: Sequence[tuple[str, Path]]) -> Path | None:
    """Write the item of an upload anew, beside its files under numbers; return its path, or None without an item.

    Args:
        folder: new folder for the item.
        files: (name, path) of each file of the upload; those of assets are moved into the folder.

    Raises:
        BadScene: there are several items, it is damaged, or no asset is a file of the upload.
    """
    found = [path for name, path in files if name.lower().endswith((".json", ".geojson"))]
    if not found:
        return None
    if len(found) > 1:
        raise BadScene(f"it holds {len(found)} JSON files, expected one STAC item")
    item = _read(found[0])
    # The last part of an address names the file.
    by_name = {name: path for name, path in files if path not in found}
    assets: dict[str, Any] = {}
    folder.mkdir()
    for key, asset in item["assets"].items():
        name = unquote(str(asset.get("href", ""))).rpartition("/")[2] if isinstance(asset, dict) else ""
        suffix = name[name.rfind(".") :].lower()
        if name in by_name and suffix in RASTERS:
            place = folder / f"{len(assets)}{suffix}"
            by_name.pop(name).rename(place)
            assets[key] = asset | {"href": f"./{place.name}"}
    if not assets:
        raise BadScene("no asset of the STAC item is a file of the upload, expected the band files beside it")
    path = folder / ITEM
    path.write_text(json.dumps(item | {"assets": assets}))
    return path


def _read(path: Path) -> dict[str, Any]:
    if path.stat().st_size > _MOST_BYTES:
        raise BadScene(f"the STAC item has more than {_MOST_BYTES:,} bytes")
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as err:
        raise BadScene("the STAC item is no JSON") from err
    if not isinstance(found, dict) or not isinstance(found.get("assets"), dict):
        raise BadScene("the JSON file is no STAC item: it has no assets")
    return found
