"""Scenes without metadata of a product: a folder of band files, or one GeoTIFF with named bands."""

from pathlib import Path
from typing import Any, Final

from bigearth_pipeline.errors import BadScene
from bigearth_pipeline.scenes.gdal import opened
from bigearth_pipeline.scenes.inputs.description import (
    BandFile,
    Description,
    Known,
    in_names,
    offsets_of,
    parse_baseline,
    parse_time,
)
from bigearth_pipeline.scenes.inputs.jp2 import check_jp2
from bigearth_pipeline.scenes.inputs.names import SCL, band_in, native_files
from shards.layout.bands import BANDS

RASTERS = (".tif", ".tiff", ".jp2")
"""Endings of files with pixels, in small letters."""
_SAME_OFFSET: Final = 0.5
"""Digital numbers that are rounding of a scale and an offset."""


def band_paths(folder: Path) -> list[Path]:
    """Return the files of a folder that hold pixels, in order of names."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in RASTERS and path.is_file())


def describe_files(folder: Path, known: Known) -> Description:
    """Describe a folder of files with one band each, named after the band: `B02.tif`, `T33UUP_…_B02_10m.jp2`.

    Raises:
        BadScene: files are named after no band or after one twice, are cut off, or nothing tells their offset.
        OSError: the folder cannot be read.
    """
    found = native_files(map(str, band_paths(folder)), str(folder))
    for path in found.values():
        if path.lower().endswith(".jp2"):
            check_jp2(Path(path))
    tags: dict[str, str] = {}
    tagged: dict[str, float] = {}
    for band, path in found.items():
        with opened(str(Path(path).absolute()), path) as source:
            if source.count != 1:
                raise BadScene(f"{path} has {source.count} bands, expected one")
            tags |= source.tags()
            tagged[band] = _tagged_offset(source, 1)
    return _described(
        folder.resolve().name,
        {band: BandFile(str(Path(path).absolute()), 1, path) for band, path in found.items()},
        str(folder),
        [folder.resolve().name, *(Path(path).name for path in found.values())],
        tags,
        tagged,
        known,
    )


def describe_geotiff(path: Path, known: Known) -> Description:
    """Describe a GeoTIFF whose bands have descriptions: `B02`, `B03`, …, in any order.

    Raises:
        BadScene: a band has no description, or that of another one or of no band; nothing tells the offset.
    """
    files: dict[str, BandFile] = {}
    tagged: dict[str, float] = {}
    with opened(str(path.absolute()), str(path)) as source:
        tags = source.tags()
        for index, description in enumerate(source.descriptions, 1):
            if not description:
                raise BadScene(
                    f"{path}: band {index} of {source.count} has no description, expected its name, such as B02; set "
                    "it with rasterio's `set_band_description`"
                )
            try:
                named = band_in(description.strip())
            except BadScene as err:
                raise BadScene(f"{path}: the description of band {index}, {err}") from err
            if named is None:
                raise BadScene(
                    f"{path}: band {index} is described as {description!r:.60}, expected {', '.join(BANDS)} or {SCL}"
                )
            if named[0] in files:
                raise BadScene(f"{path}: bands {files[named[0]].index} and {index} are both described as {named[0]}")
            files[named[0]] = BandFile(str(path.absolute()), index, f"{path} band {index} ({named[0]})")
            tagged[named[0]] = _tagged_offset(source, index)
    return _described(path.stem, files, str(path), [path.stem], tags, tagged, known)


def _tagged_offset(source: Any, index: int) -> float:
    """Return what the scale and offset of a band of a file of GDAL subtract from digital numbers; 0 without them."""
    scale, offset = source.scales[index - 1], source.offsets[index - 1]
    return -offset / scale if scale else 0.0


def _described(
    name: str,
    files: dict[str, BandFile],
    origin: str,
    names: list[str],
    tags: dict[str, Any],
    tagged: dict[str, float],
    known: Known,
) -> Description:
    """Describe a scene by names of its files and by tags as GDAL's driver for Sentinel-2 writes them.

    `tagged` holds the offsets of the files themselves: one that differs from that of the baseline is refused.
    """
    baseline, date = in_names(names)
    if "PROCESSING_BASELINE" in tags:
        try:
            baseline = parse_baseline(str(tags["PROCESSING_BASELINE"]))
        except ValueError as err:
            raise BadScene(f"{origin}: tag PROCESSING_BASELINE: {err}") from err
    if "PRODUCT_START_TIME" in tags:
        date = parse_time(str(tags["PRODUCT_START_TIME"])) or date
    baseline, offsets, reason = offsets_of(name, baseline, known)
    for band, own in tagged.items():
        if known.offset != "none" and band != SCL and own and abs(own - offsets.get(band, 0)) > _SAME_OFFSET:
            raise BadScene(
                f"{files[band].shown} has an offset tag that subtracts {own:g} from digital numbers, its processing "
                f"baseline {offsets.get(band, 0)}; `baseline=` says another one, `offset=none` uses pixels as they are"
            )
    return Description(
        name=name,
        files=files,
        origin=origin,
        baseline=baseline,
        date=known.date or date,
        offsets={band: value for band, value in offsets.items() if band in files},
        offset_reason=reason,
    )
