"""A scene: the bands that are needed, checked to lie on one grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from bigearth_pipeline.errors import BadScene
from bigearth_pipeline.scenes.gdal import opened
from bigearth_pipeline.scenes.inputs.description import BandFile, Description
from bigearth_pipeline.scenes.inputs.names import SCL, native_metres
from bigearth_pipeline.scenes.inputs.tiff import check_tiff
from bigearth_pipeline.source.tiff.gdal import cause, crs_name, epsg_in_metres
from shards.layout.statistics import NODATA

CELL_METRES: Final = 60
"""Side of a cell: the largest pixel. Windows begin and end between cells, so that pixels of all sizes line up."""
_SIZES: Final = (10, 20, 60)
_MAX_BLOCK_PIXELS: Final = 1 << 24
_SAME: Final = 1e-6
"""Share of a pixel that is rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """The pixels of one band.

    Attributes:
        name: of the band, or `SCL`.
        file: where they are.
        metres: size of a pixel in the file; the native size is a multiple of it.
        block_rows: rows that the file stores together.
        size: (rows, columns) in the file.
    """

    name: str
    file: BandFile
    metres: int
    block_rows: int
    size: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Bands on one grid, north up, in a projected system in metres.

    Attributes:
        description: its metadata.
        bands: those that are needed, in the order of a record.
        scl: the scene classification; None for a scene without one.
        epsg: code of the coordinate reference system.
        ulx: easting of the upper-left corner, m.
        uly: northing of the upper-left corner, m.
        rows: cells from north to south; what is left over of the last one is not used.
        columns: cells from west to east.
    """

    description: Description
    bands: tuple[Band, ...]
    scl: Band | None
    epsg: int
    ulx: float
    uly: float
    rows: int
    columns: int

    @property
    def name(self) -> str:
        """Name of the scene."""
        return self.description.name

    @property
    def date(self) -> datetime | None:
        """Sensing time in UTC, if it is known."""
        return self.description.date


def open_scene(description: Description, needed: Sequence[str]) -> Scene:
    """Check the files of a scene and return it.

    Args:
        description: of the scene.
        needed: bands that a network sees.

    Raises:
        BadScene: a needed band is missing; a file cannot be read or is cut off; pixels are of another type or size than
            they should be, or the bands do not lie on one grid.
    """
    missing = [band for band in needed if band not in description.files]
    if missing:
        there = ", ".join(sorted(description.files)) or "none"
        raise BadScene(
            f"{description.name} lacks the band{'s' if len(missing) > 1 else ''} {', '.join(missing)}, which the "
            f"network sees; it has {there}"
        )
    first: tuple[str, tuple[Any, ...]] | None = None
    bands: dict[str, Band] = {}
    for name in (*needed, *([SCL] if SCL in description.files else [])):
        band, place = _check(name, description.files[name])
        bands[name] = band
        if first is None:
            first = (name, place)
        elif not _is_same(place, first[1]):
            raise BadScene(f"{band.file.shown} lies at {_place(place)}; {first[0]} lies at {_place(first[1])}")
    assert first is not None
    epsg, ulx, uly, width, height = first[1]
    return Scene(
        description=description,
        bands=tuple(bands[name] for name in needed),
        scl=bands.get(SCL),
        epsg=epsg,
        ulx=ulx,
        uly=uly,
        rows=height // CELL_METRES,
        columns=width // CELL_METRES,
    )


def _check(name: str, file: BandFile) -> tuple[Band, tuple[Any, ...]]:
    """Return a band and its place: EPSG code, upper-left corner, width and height in metres."""
    native, types = native_metres(name), ("uint8", "uint16") if name == SCL else ("uint16",)
    with opened(file.path, file.shown) as source:
        crs, transform = source.crs, source.transform
        if source.dtypes[file.index - 1] not in types:
            raise BadScene(f"{file.shown} has pixels of {source.dtypes[file.index - 1]}, expected {' or '.join(types)}")
        if not crs:
            raise BadScene(f"{file.shown} has no georeference, expected a projected EPSG system in metres")
        try:
            epsg = epsg_in_metres(crs)
        except Exception as err:
            raise BadScene(f"{file.shown} has no readable reference system: {cause(err)}") from err
        if epsg is None:
            raise BadScene(f"{file.shown} lies in {crs_name(crs)}, expected a projected EPSG system in metres")
        if transform.b or transform.d:
            raise BadScene(
                f"{file.shown} is rotated or sheared {tuple(transform)[:6]}, expected a grid with north up; nothing is "
                "reprojected"
            )
        # Drivers store corners or centres, and compute the other ones.
        metres = round(transform.a)
        sizes = (transform.a - metres, -transform.e - metres)
        if max(map(abs, sizes)) > _SAME * metres or metres not in _SIZES or native % metres:
            raise BadScene(
                f"{file.shown} has pixels of {transform.a:.17g} × {-transform.e:.17g} m, expected {native} × {native} m"
            )
        nodata = source.nodatavals[file.index - 1]
        if nodata not in (None, NODATA):
            raise BadScene(f"{file.shown} marks missing pixels by {nodata:g}, expected {NODATA}")
        rows, columns = source.block_shapes[file.index - 1]
        if rows * columns > _MAX_BLOCK_PIXELS or rows * source.width > 4 * _MAX_BLOCK_PIXELS:
            raise BadScene(
                f"{file.shown} is stored in blocks of {columns} × {rows} pixels, which take too much memory; rewrite "
                "it with gdal_translate -of COG"
            )
        if source.driver == "GTiff":
            check_tiff(source, file.index, file.shown)
        band = Band(name=name, file=file, metres=metres, block_rows=rows, size=source.shape)
        size = (metres * source.width, metres * source.height)
        return band, (epsg, transform.c, transform.f, *size)


def _is_same(place: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    corner, other_corner = place[1:3], other[1:3]
    close = all(abs(a - b) <= _SAME * _SIZES[0] for a, b in zip(corner, other_corner, strict=True))
    return close and (place[0], *place[3:]) == (other[0], *other[3:])


def _place(place: tuple[Any, ...]) -> str:
    epsg, ulx, uly, width, height = place
    return f"EPSG:{epsg} {ulx:.17g} {uly:.17g}, {width} × {height} m"
