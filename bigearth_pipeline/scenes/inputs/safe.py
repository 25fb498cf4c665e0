"""Sentinel-2 Level-2A products as ESA distributes them: `.SAFE` folders, and ZIP archives of them.

Elements of `MTD_MSIL2A.xml`: Sentinel-2 Products Specification Document, S2-PDGS-TAS-DI-PSD, issue 14.9, section 5.
"""

import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from bigearth_pipeline.errors import BadScene
from bigearth_pipeline.scenes.inputs.description import (
    BandFile,
    Description,
    Known,
    offsets_of,
    parse_baseline,
    parse_time,
)
from bigearth_pipeline.scenes.inputs.jp2 import check_jp2, check_member
from bigearth_pipeline.scenes.inputs.names import SCL, band_in, native_files
from shards.layout.bands import BANDS
from shards.storage.safe_open import open_regular_file, read_regular

METADATA: Final = "MTD_MSIL2A.xml"
_MAX_BYTES: Final = 1 << 24
_QUANTIFICATION: Final = 10_000
_BAND_IDS: Final = (*("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12"),)
"""Bands by the `band_id` of metadata, from 0."""
_NUMBER: Final = re.compile(r"-?[0-9]{1,6}", re.ASCII)
_SAFE_PATH: Final = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Metadata:
    """Facts of a product by its `MTD_MSIL2A.xml`.

    Attributes:
        name: of the product, without `.SAFE`.
        baseline: processing baseline as it is written, `05.09`.
        start: begin of sensing.
        images: paths of the images below the product, without ending.
        offsets: what is to be subtracted, by band; None where no offsets are stated.
    """

    name: str
    baseline: int
    start: str
    images: tuple[str, ...]
    offsets: Mapping[str, int] | None


def read_metadata(content: bytes, shown: str) -> Metadata:
    """Read the metadata of a product.

    Raises:
        BadScene: it is no XML, or not that of a Level-2A product with reflectances in 1/10,000.
    """
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise BadScene(f"{shown} defines entities, which metadata of Sentinel-2 do not")
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError as err:
        raise BadScene(f"{shown} is no XML: {err}") from err
    if not root.tag.endswith("Level-2A_User_Product"):
        raise BadScene(f"{shown} is of {root.tag.rpartition('}')[2]:.60}, expected Level-2A_User_Product (Level-2A)")

    def text(name: str) -> str:
        found = root.find(f".//{name}")
        if found is None or not (found.text or "").strip():
            raise BadScene(f"{shown} has no {name}")
        return (found.text or "").strip()

    quantification = text("BOA_QUANTIFICATION_VALUE")
    if quantification != str(_QUANTIFICATION):
        raise BadScene(f"{shown} has reflectances in 1/{quantification:.20}, expected 1/{_QUANTIFICATION}")
    try:
        baseline = parse_baseline(text("PROCESSING_BASELINE"))
        offsets = _offsets(root)
    except ValueError as err:
        raise BadScene(f"{shown}: {err}") from err
    images = tuple((element.text or "").strip() for element in root.iter("IMAGE_FILE"))
    uri = root.find(".//PRODUCT_URI")
    if uri is None or not (uri.text or "").strip():
        raise BadScene(f"{shown} has no PRODUCT_URI; products from before 2018 are not read")
    return Metadata(
        (uri.text or "").strip().removesuffix(".SAFE"), baseline, text("PRODUCT_START_TIME"), images, offsets
    )


def _offsets(root: ElementTree.Element) -> dict[str, int] | None:
    """Return what is to be subtracted, by band; None where no offsets are stated.

    Raises:
        ValueError: one is no number or of no band, or a band has none or two.
    """
    found: dict[str, int] = {}
    for element in root.iter("BOA_ADD_OFFSET"):
        number, value = element.get("band_id", ""), (element.text or "").strip()
        if not (_NUMBER.fullmatch(number) and _NUMBER.fullmatch(value) and 0 <= int(number) < len(_BAND_IDS)):
            raise ValueError(f"BOA_ADD_OFFSET of band_id {number!r:.20} is {value!r:.20}, expected whole numbers")
        band = _BAND_IDS[int(number)]
        if band in found:
            raise ValueError(f"BOA_ADD_OFFSET is there twice for {band}")
        found[band] = -int(value)
    lacking = [band for band in BANDS if band not in found]
    if found and lacking:
        raise ValueError(f"BOA_ADD_OFFSET is lacking for {', '.join(lacking)}, expected one for each band or none")
    return found or None


def describe_folder(folder: Path, known: Known) -> Description:
    """Describe a `.SAFE` folder.

    Raises:
        BadScene: it is no Level-2A product, or a file of it is missing or cut off.
        OSError: a file cannot be read.
    """
    path = folder / METADATA
    try:
        content = read_regular(path, _MAX_BYTES)
    except FileNotFoundError:
        raise BadScene(f"{folder} has no {METADATA}, expected a Level-2A product") from None
    return _describe(
        read_metadata(content, str(path)),
        str(folder),
        known,
        has=lambda name: (folder / name).is_file(),
        gdal_path=lambda name: str(folder.absolute() / name),
        check=lambda name: check_jp2(folder / name),
    )


@contextmanager
def _unpacking(name: str) -> Iterator[None]:
    """Let any failure of an unpacker mean that the archive is damaged."""
    try:
        yield
    except (zlib.error, lzma.LZMAError, EOFError, OSError, ValueError) as err:
        raise zipfile.BadZipFile(f"{name} cannot be unpacked: {err}") from err


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a ZIP archive; what is damaged, encrypted or compressed in an unknown way becomes a BadScene."""
    with open_regular_file(path) as file:
        try:
            archive = zipfile.ZipFile(file)
        except Exception as err:  # Damaged directories make it fail in many ways, such as UnicodeDecodeError.
            raise BadScene(f"{path} is no whole ZIP archive: {err}") from err
        with archive:
            try:
                yield archive
            except (zipfile.BadZipFile, RuntimeError) as err:
                raise BadScene(f"{path} is no whole ZIP archive: {err}") from err


def describe_zip(path: Path, known: Known) -> Description:
    """Describe a ZIP archive of one `.SAFE` folder.

    Raises:
        BadScene: it is no such archive, or a file of the product is missing.
        OSError: it cannot be read.
    """
    with _opened(path) as archive:
        names = archive.namelist()
        found = [name for name in names if name.rpartition("/")[2] == METADATA]
        if len(found) != 1:
            raise BadScene(f"{path} holds {len(found)} files {METADATA}, expected that of one Level-2A product")
        if archive.getinfo(found[0]).file_size > _MAX_BYTES:
            raise BadScene(f"{path}: {found[0]} is longer than {_MAX_BYTES:,} bytes")
        with _unpacking(found[0]):
            content = archive.read(found[0])
    top = found[0].removesuffix(METADATA)
    inside = frozenset(names)
    return _describe(
        read_metadata(content, f"{path}/{found[0]}"),
        str(path),
        known,
        has=lambda name: top + name in inside,
        gdal_path=lambda name: f"/vsizip/{path.absolute()}/{top}{name}",
        check=lambda name: _check_member(path, top + name),
    )


def _check_member(path: Path, name: str) -> None:
    """Check that an image in an archive is whole, and has the archive's checksum."""
    with _opened(path) as archive, _unpacking(name), archive.open(name) as file:
        check_member(file, archive.getinfo(name).file_size, f"{path}/{name}")


def _describe(
    metadata: Metadata,
    origin: str,
    known: Known,
    *,
    has: Callable[[str], bool],
    gdal_path: Callable[[str], str],
    check: Callable[[str], None],
) -> Description:
    images = [f"{image}.jp2" for image in metadata.images if _SAFE_PATH.fullmatch(image) and ".." not in image]
    if not images:
        raise BadScene(f"{origin}: {METADATA} lists no images (IMAGE_FILE)")
    files = native_files([image for image in images if band_in(Path(image).stem)], origin)
    missing = [name for name in files.values() if not has(name)]
    if missing:
        raise BadScene(f"{origin} lacks {missing[0]}, which its {METADATA} lists")
    for name in files.values():
        check(name)
    baseline, offsets, reason = offsets_of(metadata.name, metadata.baseline, known, metadata.offsets)
    return Description(
        name=metadata.name,
        files={band: BandFile(gdal_path(name), 1, f"{origin}/{name}") for band, name in files.items()},
        origin=origin,
        baseline=baseline,
        date=parse_time(metadata.start),
        offsets={band: value for band, value in offsets.items() if band in files and band != SCL},
        offset_reason=reason,
    )
