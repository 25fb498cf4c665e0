"""Small scenes in every form that `bep predict` takes, from the same pixels."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

from shards.layout.bands import BAND_SLICES, BANDS, GROUP_OF, RECORD_VALUES

NAME = "S2A_MSIL2A_20230625T234621_N0509_R073_T01WCP_20230626T022158"
METADATA = """<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:Level-2A_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-2A.xsd">
<n1:General_Info><Product_Info><PRODUCT_START_TIME>2023-06-25T23:46:21.024Z</PRODUCT_START_TIME>
<PRODUCT_URI>{name}.SAFE</PRODUCT_URI><PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE>
<Product_Organisation><Granule_List><Granule>{images}</Granule></Granule_List></Product_Organisation></Product_Info>
<Product_Image_Characteristics><QUANTIFICATION_VALUES_LIST>
<BOA_QUANTIFICATION_VALUE unit="none">10000</BOA_QUANTIFICATION_VALUE></QUANTIFICATION_VALUES_LIST>
{offsets}</Product_Image_Characteristics></n1:General_Info></n1:Level-2A_User_Product>
"""
IDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")


@dataclass(frozen=True)
class Pixels:
    """Bands at native resolution, and the place of the scene."""

    bands: Mapping[str, NDArray[Any]]
    epsg: int = 32633
    ulx: float = 399_960.0
    uly: float = 5_500_020.0

    def metres(self, band: str) -> int:
        """Return the native size of a pixel."""
        return 20 if band == "SCL" else GROUP_OF[band].metres

    def profile(self, band: str, **more: Any) -> dict[str, Any]:
        """Return what rasterio creates the file of a band with."""
        pixels, metres = self.bands[band], self.metres(band)
        transform = Affine(metres, 0, self.ulx, 0, -metres, self.uly)
        found = {"driver": "GTiff", "height": pixels.shape[0], "width": pixels.shape[1], "count": 1}
        found |= {"dtype": pixels.dtype.name, "crs": f"EPSG:{self.epsg}", "transform": transform}
        return found | more

    def record(self, top: int, left: int) -> NDArray[np.uint16]:
        """Return the window that begins at a cell, (80000,)."""
        record = np.zeros(RECORD_VALUES, np.uint16)
        for band in BANDS:
            size, step = GROUP_OF[band].size, 60 // GROUP_OF[band].metres
            y, x = top * step, left * step
            record[BAND_SLICES[band]] = self.bands[band][y : y + size, x : x + size].ravel()
        return record


def random_pixels(rows: int = 50, columns: int = 45, seed: int = 0, *, scl: bool = False) -> Pixels:
    """Return a scene of cells of 60 m, whose level varies from place to place."""
    rng = np.random.default_rng(seed)
    bands: dict[str, NDArray[Any]] = {}
    for i, band in enumerate(BANDS):
        step = 60 // GROUP_OF[band].metres
        level = 1500 + 2000 * rng.random((rows // 5 + 1, columns // 5 + 1)) + 50 * i
        level = level.repeat(5 * step, 0).repeat(5 * step, 1)[: rows * step, : columns * step]
        bands[band] = (level + rng.integers(0, 300, level.shape)).astype(np.uint16)
    if scl:
        bands["SCL"] = np.full((3 * rows, 3 * columns), 4, np.uint8)
    return Pixels(bands)


def write_files(folder: Path, pixels: Pixels, suffix: str = ".tif", **options: Any) -> Path:
    """Write a folder of band files as COGs, or as lossless JPEG 2000."""
    folder.mkdir(parents=True)
    for band in pixels.bands:
        write_band(folder / f"T33UUP_{band}{suffix}", pixels, band, **options)
    return folder


def write_band(path: Path, pixels: Pixels, band: str, **options: Any) -> None:
    if path.suffix == ".jp2":
        options = {"driver": "JP2OpenJPEG", "quality": 100, "reversible": "YES", "ycbcr420": "NO"} | options
        options |= (
            {"blockxsize": 128, "blockysize": 128} if GROUP_OF.get(band) is None or pixels.metres(band) < 60 else {}
        )
    else:
        options = {"driver": "COG", "compress": "deflate", "blocksize": 128} | options
    with rasterio.open(path, "w", **pixels.profile(band, **options)) as target:
        target.write(pixels.bands[band], 1)


def write_safe(
    folder: Path,
    pixels: Pixels,
    baseline: str = "05.09",
    offsets: Mapping[str, int] | None = None,
    name: str = NAME,
) -> Path:
    """Write a `.SAFE` folder with JPEG 2000 files below `folder`."""
    safe = folder / f"{name}.SAFE"
    images = []
    for band in pixels.bands:
        metres = pixels.metres(band)
        image = f"GRANULE/L2A_T01WCP/IMG_DATA/R{metres}m/T01WCP_20230625T234621_{band}_{metres}m"
        (safe / image).parent.mkdir(parents=True, exist_ok=True)
        write_band(safe / f"{image}.jp2", pixels, band)
        images.append(f"<IMAGE_FILE>{image}</IMAGE_FILE>")
    # What a network does not see: other sizes and layers.
    images += ["<IMAGE_FILE>GRANULE/L2A_T01WCP/IMG_DATA/R60m/T01WCP_20230625T234621_B02_60m</IMAGE_FILE>"]
    images += ["<IMAGE_FILE>GRANULE/L2A_T01WCP/IMG_DATA/R10m/T01WCP_20230625T234621_TCI_10m</IMAGE_FILE>"]
    text = ""
    if offsets is not None:
        values = "".join(f'<BOA_ADD_OFFSET band_id="{IDS.index(b)}">{v}</BOA_ADD_OFFSET>' for b, v in offsets.items())
        text = f"<BOA_ADD_OFFSET_VALUES_LIST>{values}</BOA_ADD_OFFSET_VALUES_LIST>"
    (safe / "MTD_MSIL2A.xml").write_text(
        METADATA.format(name=name, baseline=baseline, images="".join(images), offsets=text)
    )
    return safe


def zipped(safe: Path) -> Path:
    """Pack a `.SAFE` folder into a ZIP archive beside it."""
    return Path(shutil.make_archive(str(safe.with_suffix("")), "zip", safe.parent, safe.name))


def write_item(folder: Path, pixels: Pixels, properties: Mapping[str, Any] | None = None) -> Path:
    """Write COGs and a STAC item that names them."""
    write_files(folder / "assets", pixels)
    assets = {band: {"href": f"./assets/T33UUP_{band}.tif", "type": "image/tiff"} for band in pixels.bands}
    item = {"type": "Feature", "stac_version": "1.1.0", "id": "scene", "geometry": None, "links": [], "assets": assets}
    facts = {"datetime": "2023-06-25T23:46:21Z", "platform": "sentinel-2a", "s2:processing_baseline": "02.12"}
    (folder / "item.json").write_text(json.dumps(item | {"properties": facts | dict(properties or {})}))
    return folder / "item.json"


def write_geotiff(path: Path, pixels: Pixels, bands: tuple[str, ...] = BANDS) -> Path:
    """Write one GeoTIFF at 10 m in which the pixels of the other bands are repeated."""
    height, width = pixels.bands["B02"].shape
    profile = pixels.profile("B02", count=len(bands), height=height, width=width, interleave="pixel")
    with rasterio.open(path, "w", **profile) as target:
        for index, band in enumerate(bands, 1):
            factor = pixels.metres(band) // 10
            target.write(pixels.bands[band].repeat(factor, 0).repeat(factor, 1), index)
            target.set_band_description(index, band)
        target.update_tags(PROCESSING_BASELINE="02.12")
    return path
