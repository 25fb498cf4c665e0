"""From the files of an upload to records of patches, as `bep predict` reads them."""

import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.errors import BadScene
from bigearth_pipeline.scenes.gdal import gdal_environment, opened
from bigearth_pipeline.scenes.grid.scene import open_scene
from bigearth_pipeline.scenes.grid.source import SceneSource
from bigearth_pipeline.scenes.grid.windows import windows_of
from bigearth_pipeline.scenes.inputs.description import Description, Known
from bigearth_pipeline.scenes.inputs.files import RASTERS
from bigearth_pipeline.scenes.inputs.find import find
from bigearth_pipeline.scenes.inputs.names import band_in, is_other_layer, native_metres
from bigearth_pipeline.scenes.inputs.safe import METADATA
from bigearth_pipeline.scenes.patches.tree import TreeSource
from bigearth_pipeline.scenes.work.threads import SceneThreads
from bigearth_pipeline.serve.upload.item import item_of
from bigearth_pipeline.serve.upload.limits import MOST_PIXELS, MOST_WINDOWS
from bigearth_pipeline.serve.upload.unpack import last_names, unpack
from shards.layout.bands import BANDS
from shards.layout.facts import is_key
from shards.reporting import printable

_BATCH: Final = 16
_IMAGE: Final = "image"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decoded:
    """Patches of an upload.

    Attributes:
        records: (n, 80000) uint16.
        missing: share of the area of each without data, (n,) float32.
        epsg: (n,) int32; 0 where unknown.
        ulx: (n,) float64 metres.
        uly: (n,) float64 metres.
        columns: windows in a row of an image; 0 for a single patch.
        bands: names of the bands that it has.
        notes: lines for the user.
    """

    records: NDArray[np.uint16]
    missing: NDArray[np.float32]
    epsg: NDArray[np.int32]
    ulx: NDArray[np.float64]
    uly: NDArray[np.float64]
    columns: int
    bands: tuple[str, ...]
    notes: tuple[str, ...]


def decode(folder: Path, files: Sequence[tuple[str, Path]], known: Known) -> Decoded:
    """Decode an upload.

    Args:
        folder: to work in; empty but for the files.
        files: (name that the user's machine has for it, path) of each.
        known: facts that the files do not tell.

    Raises:
        BadScene: it is nothing that can be predicted, or too large.
        BadPatch: a patch of it cannot be used.
    """
    if len(files) == 1 and files[0][0].lower().endswith(".zip"):
        if METADATA in last_names(files[0][1]):
            return _of_product(folder, files[0][1], known)
        unpacked = folder / "unpacked"
        unpacked.mkdir()
        files = unpack(files[0][1], unpacked)
    with gdal_environment():
        if (item := item_of(folder / "item", files)) is not None:
            return _of_described(item, known)
    rasters = [(name, path) for name, path in files if _suffix(name) in RASTERS]
    if not rasters:
        raise BadScene("it holds no .tif, .tiff or .jp2, expected band files of a patch or a GeoTIFF with named bands")
    with gdal_environment():
        place = _single(folder, *rasters[0]) if len(rasters) == 1 else _several(folder, rasters)
        for path in [place] if place.is_file() else sorted(place.iterdir()):
            _check_pixels(str(path))
        found = find(place, known)
        if isinstance(found, Description):
            return _of_scene(found)
        if found != "patch":
            raise BadScene("it is no image of Sentinel-2, expected band files of a patch or a GeoTIFF with named bands")
        return _of_patch(place, known)


def _of_product(folder: Path, archive: Path, known: Known) -> Decoded:
    """Decode a zip of a `.SAFE` folder, whose images are read where they are."""
    path = folder / f"{_IMAGE}.zip"
    archive.rename(path)
    with gdal_environment():
        return _of_described(path, known)


def _of_described(path: Path, known: Known) -> Decoded:
    found = find(path, known)
    if not isinstance(found, Description):
        raise BadScene("it is no image of Sentinel-2")
    for file in found.files.values():
        _check_pixels(file.path)
    return _of_scene(found)


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _single(folder: Path, name: str, path: Path) -> Path:
    """Give the only file the name `image`, or that of the user if it is made of letters, digits, `_` and `-` alone."""
    stem = os.path.splitext(name)[0]
    place = folder / f"{stem if is_key(stem) else _IMAGE}{_suffix(name)}"
    path.rename(place)
    return place


def _several(folder: Path, files: Sequence[tuple[str, Path]]) -> Path:
    """Lay band files into a folder as those of a patch, or of an image, are named."""
    by_band: dict[str, tuple[str, str, Path]] = {}
    for name, path in files:
        stem, suffix = os.path.splitext(name)
        band = band_in(stem)
        if band is None and is_other_layer(stem):
            continue
        if band is None:
            raise BadScene(
                f"the file {printable(name)[:80]!r} is named after no band, expected names such as X_B02.tif"
            )
        if band[1] not in (None, native_metres(band[0])):
            continue
        if band[0] in by_band:
            raise BadScene(f"there are two files of {band[0]}: {printable(name)[:80]!r} is one")
        by_band[band[0]] = (stem, suffix.lower(), path)
    prefixes = {stem.removesuffix(f"_{band}") for band, (stem, _, _) in by_band.items()}
    key = prefixes.pop() if len(prefixes) == 1 else ""
    key = key if is_key(key) and key not in by_band else _IMAGE
    place = folder / key
    place.mkdir()
    for name, (_, suffix, path) in by_band.items():
        path.rename(place / f"{key}_{name}{suffix}")
    return place


def _check_pixels(path: str) -> None:
    name = path.rpartition("/")[2]
    with opened(path, name) as source:
        if source.width * source.height > MOST_PIXELS:
            raise BadScene(f"{name} has {source.width:,} × {source.height:,} pixels, expected at most {MOST_PIXELS:,}")


def _of_patch(place: Path, known: Known) -> Decoded:
    source = TreeSource(place.name, [(place.name, str(place))], offset=known.offset, bands=BANDS, batch_size=1)
    with closing(source):
        [part] = list(source.parts(0))
    if part.faults:
        raise BadScene(part.faults[0].replace(f"{place}/", ""))
    notes = ("1000 is subtracted: the patch is of baseline 04.00 or later.",) if source.num_with_offset else ()
    return Decoded(
        records=part.records,
        missing=part.missing,
        epsg=part.epsg,
        ulx=part.ulx,
        uly=part.uly,
        columns=0,
        bands=BANDS,
        notes=notes,
    )


def _of_scene(description: Description) -> Decoded:
    bands = tuple(band for band in BANDS if band in description.files)
    if not bands:
        raise BadScene("it has no band of Sentinel-2")
    scene = open_scene(description, bands)
    windows = windows_of(scene, 0.0)
    if windows.count > MOST_WINDOWS:
        raise BadScene(
            f"it has {windows.count:,} windows of 1,200 m, more than {MOST_WINDOWS}; bep predict takes any size"
        )
    with (
        SceneThreads(1) as threads,
        closing(SceneSource(scene, windows, batch_size=_BATCH, threads=threads)) as source,
    ):
        source.check_offset()
        parts = [part for unit in range(source.num_units) for part in source.parts(unit)]
    notes = [f"{description.offset_reason}."]
    if len(bands) < len(BANDS):
        notes.append(f"It has {len(bands)} of the twelve bands: {', '.join(bands)}.")
    return Decoded(
        records=np.concatenate([part.records for part in parts]),
        missing=np.concatenate([part.missing for part in parts]),
        epsg=np.concatenate([part.epsg for part in parts]),
        ulx=np.concatenate([part.ulx for part in parts]),
        uly=np.concatenate([part.uly for part in parts]),
        columns=len(windows.lefts),
        bands=bands,
        notes=tuple(notes),
    )
