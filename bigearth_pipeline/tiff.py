"""Reading the band files of a patch.

BigEarthNet's own files are uncompressed little-endian TIFFs whose strips lie one behind the other. For these, one
`preadv` a file puts the pixels straight into the record; everything else (compressed, tiled, big-endian, BigTIFF, …)
goes through rasterio. Which way a file takes is decided by looking at it, and both give the same pixels.
"""

import os
import struct
import warnings
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.errors import BadPatch
from bigearth_pipeline.tiff_layout import Layout, parse_layout, projected_epsg
from shards.bands import BAND_SLICES, GROUP_OF, BandGroup

_MAX_SHORT_BYTES: Final = 1 << 20  # Far more than the files that take the short way have.


_FILES: Final = tuple((f"_{band}.tif", GROUP_OF[band], place) for band, place in BAND_SLICES.items())


@dataclass(frozen=True, slots=True)
class Georeference:
    """Where a patch lies: EPSG code, and easting and northing of the upper-left corner in metres."""

    epsg: int
    ulx: float
    uly: float


class TiffReader:
    """Reads band files; keeps the layouts it has seen, so that a file like the last one costs one system call.

    Attributes:
        bytes_read: bytes of all files read so far.
        statuses: size and modification time of each file, as they were before it was read; see `fingerprint`.
    """

    def __init__(self, *, always_gdal: bool = False) -> None:
        """Make a reader.

        Args:
            always_gdal: never take the short way; for checks of one way against the other.
        """
        self._always_gdal = always_gdal
        self.bytes_read = 0
        self.statuses: list[int] = []
        self._layouts: dict[int, Layout] = {}  # by band size
        self._head = bytearray(4096)
        self._head_view = memoryview(self._head)
        self._epsg_of_keys: dict[bytes, int | None] = {}
        self._resources = ExitStack()
        self._has_environment = False

    def __enter__(self) -> "TiffReader":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._resources.close()

    def read_patch(self, folder: str, key: str, record: NDArray[np.uint16]) -> Georeference:
        """Read the twelve band files of a patch into a record and return where it lies.

        Args:
            folder: directory of the patch.
            key: patch name; the files are `<folder>/<key>_<band>.tif`.
            record: (80000,) uint16, filled in the order of `shards.bands`.

        Raises:
            BadPatch: a file is missing, damaged, or of another size or type; the message names it.
        """
        georeference: Georeference | None = None
        for suffix, group, place in _FILES:
            found = self.read_band(f"{folder}/{key}{suffix}", group, record[place], georeferenced=georeference is None)
            georeference = georeference or found
        assert georeference is not None
        return georeference

    def read_band(
        self, path: str, group: BandGroup, out: NDArray[np.uint16], *, georeferenced: bool = True
    ) -> Georeference | None:
        """Read one band file.

        Args:
            path: the file.
            group: resolution of the band, from which its size follows.
            out: (rows · columns,) contiguous uint16, filled row by row.
            georeferenced: return the georeference; else None.

        Raises:
            BadPatch: the file is missing, damaged, or of another size or type.
        """
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise BadPatch(f"{path} is missing") from None
        except OSError as err:
            raise BadPatch(f"{path} cannot be opened: {err.strerror}") from err
        try:
            status = os.fstat(descriptor)
            self.statuses += (status.st_size, status.st_mtime_ns)
            layout = self._layouts.get(group.metres)
            if layout is not None:
                count = os.preadv(descriptor, (self._head_view[: layout.head_bytes], out), 0)
                if count == layout.file_bytes and layout.fits(self._head):
                    self.bytes_read += count
                    return self._georeference(path, layout, self._head, group, out) if georeferenced else None
            # Another kind of file than the last one of this size, or the first: look at it.
            content = _read_start(descriptor)
        except OSError as err:
            raise BadPatch(f"{path} cannot be read: {err.strerror}") from err
        finally:
            os.close(descriptor)
        self.bytes_read += len(content)
        layout = None if self._always_gdal else parse_layout(path, content, group, len(self._head))
        if layout is None:
            return self._read_with_gdal(path, group, out, georeferenced)
        self._layouts[group.metres] = layout
        out[:] = np.frombuffer(content, "<u2", len(out), layout.head_bytes)
        return self._georeference(path, layout, bytearray(content), group, out) if georeferenced else None

    def _georeference(
        self, path: str, layout: Layout, head: bytearray, group: BandGroup, out: NDArray[np.uint16]
    ) -> Georeference | None:
        keys = bytes(head[layout.geo_keys_at : layout.geo_keys_at + layout.geo_keys_bytes])
        if keys not in self._epsg_of_keys:
            self._epsg_of_keys[keys] = projected_epsg(keys)
        epsg = self._epsg_of_keys[keys]
        if epsg is None:
            # An unusual description of the grid; GDAL knows them all.
            return self._read_with_gdal(path, group, out, georeferenced=True)
        scale_x, scale_y = struct.unpack_from("<2d", head, layout.scale_at)
        column, row, _, x, y = struct.unpack_from("<5d", head, layout.tie_point_at)
        _check_pixel_size(path, scale_x, scale_y, group)
        return Georeference(epsg, x - column * scale_x, y + row * scale_y)

    def _read_with_gdal(
        self, path: str, group: BandGroup, out: NDArray[np.uint16], georeferenced: bool
    ) -> Georeference | None:
        # Imported late: sources that take the short way everywhere never pay for GDAL's start.
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning, RasterioError

        if not self._has_environment:
            # Without this GDAL lists the folder at each open, which costs four times as much as the read.
            self._resources.enter_context(rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"))
            # A missing georeference is an error below.
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            self._has_environment = True
        try:
            with rasterio.open(path, driver="GTiff") as source:
                facts = (source.count, source.dtypes[0], source.shape)
                wanted = (1, "uint16", (group.size, group.size))
                if facts != wanted:
                    raise BadPatch(f"{path} holds {_describe(*facts)}, expected {_describe(*wanted)}")
                source.read(1, out=out.reshape(group.size, group.size))
                if not georeferenced:
                    return None
                crs, transform = source.crs, source.transform
        except RasterioError as err:
            cause = " ".join(str(err.__cause__ or err).split())
            expected = _describe(1, "uint16", (group.size, group.size))
            raise BadPatch(f"{path} is not a readable TIFF of {expected}: {cause}") from err
        epsg = crs.to_epsg() if crs else None
        if epsg is None or transform.b or transform.d:
            raise BadPatch(f"{path} has no georeference in a north-up EPSG system (its CRS is {crs})")
        _check_pixel_size(path, transform.a, -transform.e, group)
        return Georeference(int(epsg), transform.c, transform.f)


def _read_start(descriptor: int) -> bytes:
    parts = []
    offset = 0
    while part := os.pread(descriptor, _MAX_SHORT_BYTES - offset, offset):
        parts.append(part)
        offset += len(part)
    return b"".join(parts)


def _check_pixel_size(path: str, width: float, height: float, group: BandGroup) -> None:
    if width != group.metres or height != group.metres:
        raise BadPatch(f"{path} has pixels of {width:g} × {height:g} m, expected {group.metres} × {group.metres} m")


def _describe(count: int, dtype: str, shape: tuple[int, int]) -> str:
    return f"{count} band{'s' if count != 1 else ''} of {shape[1]} × {shape[0]} {dtype}"
