"""Local STAC items of Sentinel-2 Level-2A scenes, which name a file for each band.

Read are the bands of assets as STAC 1.0 (`eo:bands`, `raster:bands`) and 1.1 (`bands`, `raster:offset`) have them, the
names that Earth Search gives to assets, and `earthsearch:boa_offset_applied`.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from bigearth_pipeline.errors import BadScene
from bigearth_pipeline.scenes.inputs.description import (
    BandFile,
    Description,
    Known,
    offsets_of,
    parse_baseline,
    parse_time,
)
from bigearth_pipeline.scenes.inputs.jp2 import check_jp2
from bigearth_pipeline.scenes.inputs.names import SCL, band_in, native_metres
from bigearth_pipeline.source.offset import OFFSET, has_offset
from shards.storage.safe_open import read_regular

_MAX_BYTES: Final = 1 << 24
_QUANTIFICATION: Final = 10_000
_MOST: Final = 1e6
"""Bound of offsets and scales, which are of reflectances; NaN and infinity, which files may hold, are beyond."""
_EARTH_SEARCH: Final = {
    "coastal": "B01", "blue": "B02", "green": "B03", "red": "B04", "rededge1": "B05", "rededge2": "B06",
    "rededge3": "B07", "nir": "B08", "nir08": "B8A", "nir09": "B09", "swir16": "B11", "swir22": "B12", "scl": SCL,
}  # fmt: skip
"""Assets of the collections sentinel-2-l2a and sentinel-2-c1-l2a of Earth Search (Element 84)."""


def describe_item(path: Path, known: Known) -> Description:
    """Describe the scene of a STAC item.

    Raises:
        BadScene: it is no item of Sentinel-2, names files elsewhere or none, or says two things of the offset.
        OSError: a file cannot be read.
    """
    item = _read(path)
    properties = item.get("properties")
    if item.get("type") != "Feature" or "stac_version" not in item or not isinstance(properties, dict):
        raise BadScene(f"{path} is no STAC item, expected an object of type Feature with stac_version and properties")
    names = [properties.get("constellation"), properties.get("platform")]
    if not any(isinstance(name, str) and name.lower().startswith("sentinel-2") for name in names):
        raise BadScene(f"{path} is of {names[0] or names[1]!r:.40}, expected an item of sentinel-2")
    name = str(item.get("id") or path.stem)
    assets = dict(_native_assets(path, item.get("assets")))
    files = {band: _file(path, key, asset) for band, (key, asset) in assets.items()}
    baseline = None
    for key in ("s2:processing_baseline", "processing:version"):
        if baseline is None and isinstance(properties.get(key), str):
            try:
                baseline = parse_baseline(properties[key])
            except ValueError as err:
                raise BadScene(f"{path}: {key}: {err}") from err
    stated = None if known.offset == "none" else _stated_offsets(path, properties, assets, baseline)
    baseline, offsets, reason = offsets_of(name, baseline, known, stated)
    return Description(
        name=name,
        files=files,
        origin=str(path),
        baseline=baseline,
        date=known.date or parse_time(str(properties.get("datetime"))),
        offsets={band: value for band, value in offsets.items() if band in files},
        offset_reason=reason,
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        item = json.loads(read_regular(path, _MAX_BYTES))
    except (ValueError, RecursionError) as err:
        raise BadScene(f"{path} is no JSON: {err}") from err
    if not isinstance(item, dict):
        raise BadScene(f"{path} holds a {type(item).__name__}, expected a STAC item")
    return item


def _native_assets(path: Path, assets: Any) -> Iterator[tuple[str, tuple[str, dict[str, Any]]]]:
    """Yield (band, (key, asset)) for each band, at its native resolution."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for key, asset in (assets if isinstance(assets, dict) else {}).items():
        if not isinstance(asset, dict) or not isinstance(asset.get("href"), str):
            continue
        band, metres = _EARTH_SEARCH.get(key), None
        if band is None and (named := band_in(key)) is not None:
            band, metres = named
        if band is None or metres not in (None, native_metres(band)):
            continue
        if band in found:
            raise BadScene(f"{path} has two assets of {band}: {found[band][0]} and {key}, expected one")
        found[band] = (key, asset)
    if not found:
        raise BadScene(f"{path} has no assets that are named after bands, such as B02 or blue")
    yield from found.items()


def _file(path: Path, key: str, asset: Mapping[str, Any]) -> BandFile:
    try:
        href = urlsplit(asset["href"])
    except ValueError as err:
        raise BadScene(f"{path}: asset {key} has the href {asset['href']!r:.100}, which is no address: {err}") from err
    if href.scheme not in ("", "file") or href.netloc:
        raise BadScene(
            f"{path}: asset {key} is at {asset['href']!r:.100}, expected a file of this machine; download it and "
            "change its href"
        )
    file = path.absolute().parent / unquote(href.path)
    if not file.is_file():
        raise BadScene(f"{path}: asset {key} is {file}, which does not exist")
    if file.suffix.lower() == ".jp2":
        check_jp2(file)
    return BandFile(str(file), 1, str(file))


def _stated_offsets(
    path: Path, properties: Mapping[str, Any], assets: Mapping[str, tuple[str, dict[str, Any]]], baseline: int | None
) -> dict[str, int] | None:
    """Return what is to be subtracted by band as the item states it; None if it does not.

    Raises:
        BadScene: its parts disagree.
    """
    if properties.get("earthsearch:boa_offset_applied") is True:
        return dict.fromkeys(assets, 0)
    stated = {
        band: _offset(path, key, asset) for band, (key, asset) in assets.items() if band != SCL and _has_offset(asset)
    }
    if not stated:
        return None
    expected = None if baseline is None else OFFSET if has_offset(baseline) else 0
    for band, value in stated.items():
        if expected is not None and (value == 0) != (expected == 0):
            raise BadScene(
                f"{path}: asset {assets[band][0]} has an offset of {-value}, but baseline {baseline:04d} has "
                f"{'one' if expected else 'none'}; say `offset=none`, or mend the item"
            )
    silent = [assets[band][0] for band in assets if band != SCL and band not in stated]
    if silent and expected != 0:
        said = assets[next(iter(stated))][0]
        raise BadScene(
            f"{path}: asset {said} states an offset and asset {silent[0]} none, expected one for each or for "
            "none; say `offset=none`, or mend the item"
        )
    return {band: stated.get(band, 0) for band in assets if band != SCL}


def _bands(asset: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of the only band of an asset, those of the asset itself among them."""
    found = dict(asset)
    for name in ("raster:bands", "bands"):
        bands = asset.get(name)
        if isinstance(bands, list) and bands and isinstance(bands[0], dict):
            found |= {f"raster:{key.removeprefix('raster:')}": value for key, value in bands[0].items()}
    return found


def _has_offset(asset: Mapping[str, Any]) -> bool:
    return "raster:offset" in _bands(asset)


def _offset(path: Path, key: str, asset: Mapping[str, Any]) -> int:
    fields = _bands(asset)
    offset, scale = fields.get("raster:offset"), fields.get("raster:scale")
    numbers = [value for value in (offset, scale) if isinstance(value, int | float) and abs(value) < _MOST]
    if len(numbers) < 2 or not scale:
        raise BadScene(f"{path}: asset {key} has offset {offset!r:.20} and scale {scale!r:.20}, expected two numbers")
    if abs(scale * _QUANTIFICATION - 1) > 1e-6:
        raise BadScene(f"{path}: asset {key} has the scale {scale}, expected {1 / _QUANTIFICATION}")
    subtracted: float = offset / scale
    return -round(subtracted)
