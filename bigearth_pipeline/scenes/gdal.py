"""GDAL for scenes: its environment, with a small cache, and files opened by the one driver that fits their name."""

import os
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import PurePosixPath
from typing import Any, Final

from bigearth_pipeline.errors import BadScene
from bigearth_pipeline.source.tiff.gdal import OPTIONS, cause, check_gdal
from shards.storage.safe_open import open_regular

CACHE_BYTES: Final = 64 << 20
"""Blocks that GDAL keeps: strips are kept in `grid.strips`, so that it need not decode a block twice."""
_DRIVERS: Final = {".jp2": "JP2OpenJPEG"}


@contextmanager
def gdal_environment() -> Iterator[None]:
    """Let GDAL read scenes and write maps while the block runs.

    Raises:
        PipelineError: GDAL, a driver of it or its PROJ cannot work in this environment.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    with rasterio.Env(**OPTIONS, GDAL_CACHEMAX=CACHE_BYTES) as environment, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        check_gdal(environment, "GTiff", "COG", "JP2OpenJPEG")
        yield


def in_thread() -> AbstractContextManager[Any]:
    """Return an environment for a thread that reads what another has opened.

    What takes the messages of GDAL is of one thread; without it they are printed as they are, with names from files.
    """
    import rasterio

    environment: AbstractContextManager[Any] = rasterio.Env()
    return environment


@contextmanager
def opened(path: str, shown: str) -> Iterator[Any]:
    """Open a file with pixels for reading.

    Args:
        path: as GDAL takes it.
        shown: name for messages.

    Raises:
        BadScene: it is no such file, or cannot be read.
    """
    source = open_source(path, shown)
    try:
        yield source
    finally:
        source.close()


def open_source(path: str, shown: str) -> Any:
    """Return an open dataset of rasterio; see `opened`."""
    import rasterio

    if not path.startswith("/vsi"):
        try:
            # GDAL would wait for the writer of a pipe for ever.
            os.close(open_regular(path))
        except OSError as err:
            raise BadScene(f"{shown} cannot be read: {err.strerror or err}") from err
    try:
        # One driver: others would follow references in the file to places elsewhere.
        return rasterio.open(path, driver=_DRIVERS.get(PurePosixPath(path).suffix.lower(), "GTiff"))
    except Exception as err:  # GDAL and rasterio raise many classes for damaged files.
        raise BadScene(f"{shown} cannot be read: {cause(err)}") from err
