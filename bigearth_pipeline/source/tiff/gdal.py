"""Reading a band file with GDAL: whatever a TIFF reader must accept, at a twentieth of the speed.

GDAL gets the bytes and not the path, so that it sees what was looked at before and nothing beside it (world files,
`.aux.xml`), and so that no name is taken for more than a name.
"""

import os
import re
import warnings
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.errors import BadPatch, PipelineError
from bigearth_pipeline.source.georeference import BadPlace, Georeference, georeference
from shards.layout.record import RecordGroup
from shards.reporting import printable

if TYPE_CHECKING:
    from rasterio.crs import CRS

OPTIONS: Final = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_GEOREF_SOURCES": "INTERNAL",
    "GTIFF_IGNORE_READ_ERRORS": "NO",
    "GTIFF_POINT_GEO_IGNORE": "NO",
    # GeoTIFF 1.0, 2.6.1: readers must honour the sign of the pixel scale. GDAL by itself takes the south for the north.
    "GTIFF_HONOUR_NEGATIVE_SCALEY": "YES",
}
"""Options of GDAL that would otherwise be taken from the environment, and change what a file is read as."""
_PROJ_VARIABLES: Final = ("PROJ_DATA", "PROJ_LIB")
_KNOWN_EPSG: Final = 32633
_MAX_BLOCK_PIXELS: Final = 1 << 24  # GDAL decodes whole blocks, however small the image is.
_MAX_CAUSE: Final = 300  # characters
_MAX_SYSTEMS: Final = 1024


class GdalReader:
    """Reads band files with GDAL, which is started by the first of them.

    Raises:
        PipelineError: when first used: GDAL or its PROJ cannot work in this environment.
    """

    def __init__(self) -> None:
        self._resources = ExitStack()
        self._started = False
        self._epsg_of: dict[str, int | None] = {}

    def close(self) -> None:
        """Give up GDAL's environment."""
        self._resources.close()
        self._started = False

    def read(self, path: str, content: bytes, group: RecordGroup, out: NDArray[np.uint16]) -> Georeference:
        """Read one band.

        Args:
            path: name of the file, for messages.
            content: all bytes of the file.
            group: resolution of the band, from which its size follows.
            out: (rows · columns,) contiguous uint16, filled row by row.

        Raises:
            BadPlace: the pixels can be read, but do not say where they are, or say what cannot be.
            BadPatch: the file is damaged, or of another size or type.
            PipelineError: GDAL or its PROJ cannot work in this environment.
        """
        if not self._started:
            self._start()
        from rasterio.io import MemoryFile

        wanted = (1, "uint16", (group.size, group.size))
        if not content:
            raise BadPatch(f"{path} is empty, expected a TIFF of {_describe(*wanted)}")
        try:
            with MemoryFile(content, filename="band.tif") as file, file.open(driver="GTiff") as source:
                facts = (source.count, source.dtypes[0], source.shape)
                if facts != wanted:
                    raise BadPatch(f"{path} holds {_describe(*facts)}, expected {_describe(*wanted)}")
                if max(rows * columns for rows, columns in source.block_shapes) > _MAX_BLOCK_PIXELS:
                    raise BadPatch(f"{path} is cut into blocks of {source.block_shapes[0]} pixels")
                source.read(1, out=out.reshape(group.size, group.size))
                crs, transform = source.crs, source.transform
                epsg = self._epsg(crs)
        except BadPatch:
            raise
        except Exception as err:
            # Any exception: GDAL and rasterio raise many classes for damaged files, ValueError and
            # UnicodeDecodeError among them, and MemoryError where a file declares to hold terabytes.
            raise BadPatch(f"{path} is not a readable TIFF of {_describe(*wanted)}: {cause(err)}") from err
        if not crs:
            raise BadPlace(f"{path} has no georeference, expected a projected EPSG system in metres")
        if epsg is None:
            raise BadPlace(f"{path} lies in {crs_name(crs)}, expected a projected EPSG system in metres")
        if transform.b or transform.d:
            raise BadPlace(f"{path} is rotated or sheared ({tuple(transform)[:6]}), expected a grid with north up")
        if transform.a != group.metres or transform.e != -group.metres:
            raise BadPlace(
                f"{path} has pixels of {transform.a:.17g} × {-transform.e:.17g} m, "
                f"expected {group.metres} × {group.metres} m"
            )
        return georeference(path, epsg, transform.c, transform.f)

    def _start(self) -> None:
        # Imported late: sources that take the short way everywhere never pay for GDAL's start.
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning

        environment = self._resources.enter_context(rasterio.Env(**OPTIONS))
        # A missing georeference is an error above.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        check_gdal(environment, "GTiff")
        self._started = True

    def _epsg(self, crs: "CRS | None") -> int | None:
        """Return the EPSG code of a projected system in metres, None for anything else."""
        if not crs:
            return None
        text: str = crs.wkt
        if text not in self._epsg_of:
            if len(self._epsg_of) >= _MAX_SYSTEMS:
                self._epsg_of.clear()
            self._epsg_of[text] = epsg_in_metres(crs)
        return self._epsg_of[text]


def check_proj() -> None:
    """Check that PROJ works within rasterio.

    Raises:
        PipelineError: it does not in this environment.
    """
    from rasterio.crs import CRS

    try:
        if CRS.from_epsg(_KNOWN_EPSG).to_epsg() == _KNOWN_EPSG:
            return
        reason = f"EPSG:{_KNOWN_EPSG} is not known as such"
    except Exception as err:
        reason = cause(err)
    named = [name for name in _PROJ_VARIABLES if name in os.environ]
    remedy = f"unset {' and '.join(named)}, and try again" if named else "reinstall rasterio"
    raise PipelineError(
        f"rasterio cannot use the PROJ database that it finds ({_settings(*_PROJ_VARIABLES)}): {reason}; {remedy}"
    )


def check_gdal(environment: Any, *drivers: str) -> None:
    """Check that GDAL works in an environment.

    Args:
        environment: of rasterio, entered.
        drivers: short names of those that are needed.

    Raises:
        PipelineError: a driver is missing, or PROJ does not find its database.
    """
    missing = [driver for driver in drivers if driver not in environment.drivers()]
    if missing:
        raise PipelineError(
            f"GDAL has no driver {' and '.join(missing)}: {_settings('GDAL_SKIP', 'GDAL_DRIVER_PATH')}; unset it and "
            "try again"
        )
    check_proj()


def epsg_in_metres(crs: "CRS") -> int | None:
    """Return the EPSG code of a projected system in metres, None for anything else."""
    from rasterio.crs import CRS

    if not crs.is_projected or crs.linear_units_factor[1] != 1.0:
        return None
    epsg = crs.to_epsg()
    # A code is also found for systems that are only much like that of the code.
    return int(epsg) if epsg is not None and CRS.from_epsg(epsg) == crs else None


def _settings(*names: str) -> str:
    found = [f"{name} is {os.environ[name]}" for name in names if name in os.environ]
    return ", ".join(found) or f"{' and '.join(names)} are not set"


def crs_name(crs: Any) -> str:
    """Return a short name of a reference system that is not wanted."""
    try:
        epsg = crs.to_epsg()
        name = f"EPSG:{epsg}" if epsg is not None else " ".join(str(crs.wkt).split())
    except Exception as err:
        name = f"a system that cannot be described ({cause(err)})"
    return _shortened(name)


def cause(err: BaseException) -> str:
    """Return what GDAL says, without the name that the file has in memory, and without a full stop."""
    text = " ".join(str(err.__cause__ or err).split()) or type(err).__name__
    return _shortened(re.sub(r"/vsimem/[^/]*/", "", text).rstrip("."))


def _shortened(text: str) -> str:
    return printable(text if len(text) <= _MAX_CAUSE else text[:_MAX_CAUSE] + "…")


def _describe(count: int, dtype: str, shape: tuple[int, int]) -> str:
    return f"{count} band{'s' if count != 1 else ''} of {shape[1]} × {shape[0]} {dtype}"
