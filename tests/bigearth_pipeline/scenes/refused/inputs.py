"""Scenes that cannot be used, and what is said of them."""

import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import rasterio
from affine import Affine

from shards.layout.bands import BANDS
from tests.bigearth_pipeline.scenes.making import (
    Pixels,
    random_pixels,
    write_band,
    write_files,
    write_geotiff,
    write_safe,
    zipped,
)

PIXELS = random_pixels(25, 22)


def band(folder: Path, name: str) -> Path:
    (path,) = folder.rglob(f"*_{name}*.*")
    return path


def rewrite(folder: Path, name: str, pixels: Pixels, **options: object) -> Path:
    path = band(folder, name)
    path.unlink()
    write_band(path, pixels, name, **options)
    return folder


def cut_off(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def edited(path: Path, old: str, new: str) -> Path:
    path.write_text(path.read_text().replace(old, new))
    return path


def tagged(path: Path) -> Path:
    """Write an offset of -1000, as a share of a reflectance, into the tags of B03."""
    with rasterio.open(band(path, "B03") if path.is_dir() else path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as target:
        target.scales, target.offsets = (0.0001,) * target.count, (-0.1,) * target.count
    return path


def without(folder: Path, name: str) -> Path:
    band(folder, name).unlink()
    return folder


BASE: dict[str, Path] = {}
"""Scenes that are written once and copied by each test, by kind."""


def files(folder: Path) -> Path:
    return shutil.copytree(BASE["files"], folder / "scene")


def safe(folder: Path) -> Path:
    return shutil.copytree(BASE["safe"], folder / BASE["safe"].name)


def item(folder: Path) -> Path:
    return shutil.copytree(BASE["item"], folder / "scene") / "item.json"


def safe_cut_off(folder: Path, share: float) -> Path:
    path = safe(folder)
    cut_off(band(path, "B03"), share)
    return path


def files_cut_off(folder: Path, share: float) -> Path:
    path = files(folder)
    cut_off(band(path, "B03"), share)
    return path


def zip_cut_off(folder: Path) -> Path:
    """Return an archive that is whole, of a product whose image was cut off before."""
    path = safe_cut_off(folder, 0.6)
    return zipped(path)


def zip_damaged(folder: Path) -> Path:
    """Return an archive in which a byte of an image was changed; the codestream has its length and its end."""
    path = zipped(safe(folder))
    with zipfile.ZipFile(path) as archive:
        info = next(each for each in archive.infolist() if "_B04_" in each.filename)
    content = bytearray(path.read_bytes())
    content[info.header_offset + info.compress_size // 2] ^= 0xFF
    path.write_bytes(content)
    return path


def endless(folder: Path) -> Path:
    """Return a product in which a codestream says to reach to the end of its file, and is cut off."""
    path = safe(folder)
    image = band(path, "B03")
    content = bytearray(image.read_bytes())
    at = content.index(b"jp2c") - 4
    content[at : at + 4] = bytes(4)
    image.write_bytes(content[:-100])
    return path


def offsets(folder: Path, *edits: tuple[str, str]) -> Path:
    """Return a product that states an offset for each band, but for the edits."""
    path = write_safe(folder, PIXELS, "05.09", dict.fromkeys(BANDS, -1000))
    for old, new in edits:
        edited(path / "MTD_MSIL2A.xml", old, new)
    return path


def described(folder: Path, names: tuple[str | None, ...]) -> Path:
    path = folder / "scene.tif"
    with rasterio.open(path, "w", **PIXELS.profile("B02", count=len(names))) as target:
        for index, name in enumerate(names, 1):
            target.write(PIXELS.bands["B02"], index)
            if name:
                target.set_band_description(index, name)
    return path


def resampled(folder: Path) -> Path:
    path = write_geotiff(folder / "scene.tif", PIXELS)
    with rasterio.open(path, "r+") as target:
        pixels = target.read(5)
        pixels[7, 7] += 1
        target.write(pixels, 5)
    return path


def linked(folder: Path, href: str) -> Path:
    return edited(item(folder), "./assets/T33UUP_B02.tif", href)


def no_item(folder: Path, content: str) -> Path:
    (folder / "scene.json").write_text(content)
    return folder / "scene.json"


CASES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "absent": (lambda f: f / "nothing", "does not exist"),
    "empty folder": (lambda f: f, "is of no known kind, expected a .SAFE folder"),
    "folder of products": (lambda f: safe(f).parent, ".SAFE lies in it: name that"),
    "unknown kind": (lambda f: no_item(f, "").rename(f / "scene.png"), "no known kind"),
    "missing band": (lambda f: without(files(f), "B11"), "lacks the band B11"),
    "band of Level-1C": (lambda f: band(files(f), "B11").rename(f / "scene" / "T33UUP_B10.tif").parent, "band B10"),
    "no band's name": (lambda f: band(files(f), "B11").rename(f / "scene" / "ndvi.tif").parent, "ndvi.tif"),
    "band twice": (lambda f: band(files(f), "B11").rename(f / "scene" / "other_B12.tif").parent, "B12 twice"),
    "unknown baseline": (files, "`baseline=`"),
    "wrong pixel size": (
        lambda f: rewrite(files(f), "B02", PIXELS, transform=Affine(11, 0, PIXELS.ulx, 0, -11, PIXELS.uly)),
        "pixels of 11 × 11 m, expected 10 × 10 m",
    ),
    "band too coarse": (
        lambda f: rewrite(files(f), "B02", PIXELS, transform=Affine(20, 0, PIXELS.ulx, 0, -20, PIXELS.uly)),
        "pixels of 20 × 20 m, expected 10 × 10 m",
    ),
    "other system": (lambda f: rewrite(files(f), "B05", replace(PIXELS, epsg=32632)), "EPSG:32632"),
    "degrees": (lambda f: rewrite(files(f), "B02", replace(PIXELS, epsg=4326)), "projected EPSG system"),
    "shifted": (lambda f: rewrite(files(f), "B05", replace(PIXELS, ulx=PIXELS.ulx + 10)), "B02 lies at"),
    "other size": (
        lambda f: rewrite(files(f), "B05", Pixels(PIXELS.bands | {"B05": PIXELS.bands["B05"][:-1]})),
        "B02 lies at",
    ),
    "rotated": (
        lambda f: rewrite(
            files(f), "B02", PIXELS, driver="GTiff", transform=Affine(9.8, 1.7, PIXELS.ulx, 1.7, -9.8, PIXELS.uly)
        ),
        "rotated or sheared",
    ),
    "other type": (
        lambda f: rewrite(files(f), "B02", Pixels(PIXELS.bands | {"B02": PIXELS.bands["B02"].astype("float32")})),
        "pixels of float32, expected uint16",
    ),
    "other nodata": (lambda f: rewrite(files(f), "B02", PIXELS, nodata=65535), "missing pixels by 65535"),
    "no place": (lambda f: rewrite(files(f), "B02", PIXELS, driver="GTiff", crs=None), "no georeference"),
    "too small": (lambda f: write_files(f / "scene", random_pixels(19, 30)), "expected at least 1200 × 1200 m"),
    "no TIFF": (lambda f: no_item(f, "text").rename(f / "scene.tif"), "cannot be read"),
    "TIFF cut off": (lambda f: files_cut_off(f, 0.99), "B03.tif was cut off: it has "),
    "TIFF almost empty": (lambda f: files_cut_off(f, 0.001), "B03.tif cannot be read"),
    "JPEG 2000 cut off in a ZIP": (zip_cut_off, "was cut off: it has "),
    "JPEG 2000 damaged in a ZIP": (zip_damaged, "is no whole ZIP archive: "),
    "JPEG 2000 cut off": (lambda f: safe_cut_off(f, 0.6), "was cut off"),
    "JPEG 2000 without its end": (endless, "its codestream has no end"),
    "JPEG 2000 almost empty": (lambda f: safe_cut_off(f, 0.001), "was cut off"),
    "SAFE without a file": (lambda f: without(safe(f), "B08"), "which its MTD_MSIL2A.xml lists"),
    "SAFE without metadata": (
        lambda f: (safe(f) / "MTD_MSIL2A.xml").rename(f / "moved.xml").parent.joinpath("x.SAFE"),
        "does not exist",
    ),
    "Level-1C": (
        lambda f: edited(safe(f) / "MTD_MSIL2A.xml", "Level-2A_User", "Level-1C_User").parent,
        "expected Level-2A",
    ),
    "entities": (
        lambda f: edited(safe(f) / "MTD_MSIL2A.xml", "<n1:Level", "<!DOCTYPE x><n1:Level").parent,
        "defines entities",
    ),
    "no XML": (lambda f: edited(safe(f) / "MTD_MSIL2A.xml", "</n1:General_Info>", "").parent, "no XML"),
    "other quantification": (
        lambda f: edited(safe(f) / "MTD_MSIL2A.xml", ">10000<", ">1000<").parent,
        "expected 1/10000",
    ),
    "contradicting baseline": (lambda f: safe(f), "leave `baseline=` out"),
    "ZIP cut off": (lambda f: _cut_zip(f), "no whole ZIP archive"),
    "GeoTIFF without names": (lambda f: described(f, ("B02", None)), "band 2 of 2 has no description"),
    "offset of one band lacking": (
        lambda f: offsets(f, ('<BOA_ADD_OFFSET band_id="3">-1000</BOA_ADD_OFFSET>', "")),
        "BOA_ADD_OFFSET is lacking for B04",
    ),
    "offset twice": (lambda f: offsets(f, ('band_id="3"', 'band_id="1"')), "BOA_ADD_OFFSET is there twice for B02"),
    "offset of no band": (lambda f: offsets(f, ('band_id="3"', 'band_id="13"')), "BOA_ADD_OFFSET of band_id '13'"),
    "offset of no number": (lambda f: offsets(f, ('"3">-1000', '"3">-1e3')), "band_id '3' is '-1e3'"),
    "STAC item with an offset of one band": (
        lambda f: edited(
            edited(item(f), '"02.12"', '"05.09"'),
            '"./assets/T33UUP_B03.tif"',
            '"./assets/T33UUP_B03.tif", "raster:scale": 0.0001, "raster:offset": -0.1',
        ),
        "asset B03 states an offset and asset B02 none",
    ),
    "GeoTIFF with another name": (lambda f: described(f, ("B02", "NDVI")), "described as 'NDVI'"),
    "GeoTIFF with a band of Level-1C": (lambda f: described(f, ("B02", "B10")), ".tif: the description of band 2, B10"),
    "files with an offset tag": (lambda f: tagged(files(f)), "subtracts 1000 from digital numbers"),
    "GeoTIFF with an offset tag": (lambda f: tagged(described(f, ("B02", "B03"))), "subtracts 1000 from digital"),
    "GeoTIFF with a name twice": (lambda f: described(f, ("B02", "B02")), "both described as B02"),
    "GeoTIFF with resampled bands": (resampled, "several values within pixels of 20 m"),
    "STAC item of elsewhere": (lambda f: linked(f, "https://example.com/B02.tif"), "download it"),
    "STAC item of no address": (
        lambda f: linked(f, "http://[B02"),
        "asset B02 has the href 'http://[B02', which is no",
    ),
    "STAC item of nothing": (lambda f: linked(f, "./gone.tif"), "does not exist"),
    "STAC item of another mission": (
        lambda f: edited(item(f), "sentinel-2a", "landsat-8"),
        "expected an item of sentinel-2",
    ),
    "no STAC item": (lambda f: no_item(f, "{}"), "no STAC item"),
    "no JSON": (lambda f: no_item(f, "{"), "no JSON"),
}


def _cut_zip(folder: Path) -> Path:
    path = zipped(safe(folder))
    cut_off(path, 0.7)
    return path
