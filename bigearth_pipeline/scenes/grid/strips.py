"""Strips of whole rows of a file, read from north to south, each block decoded once."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.errors import BadScene
from bigearth_pipeline.scenes.gdal import in_thread, open_source
from bigearth_pipeline.scenes.grid import tiles
from bigearth_pipeline.scenes.grid.scene import Band
from bigearth_pipeline.scenes.work.threads import SceneThreads
from bigearth_pipeline.source.tiff.gdal import cause

_LEAST_ROWS = 128
"""Rows that are read at a time where blocks are lower."""


class FileStrips:
    """Strips of those bands of one file that are needed. One thread uses it at a time.

    Attributes:
        bands: names of the bands, in the order of the strips.
        metres: size of a pixel.
    """

    def __init__(self, bands: list[Band], *, compiled: bool) -> None:
        """Open a file.

        Args:
            bands: of one file.
            compiled: decode tiles without GDAL if that is possible.

        Raises:
            BadScene: it cannot be opened.
        """
        first = bands[0]
        self.bands = tuple(band.name for band in bands)
        self.metres = first.metres
        self._shown = first.file.shown
        self._indexes = [band.file.index for band in bands]
        self._height, self._width = first.size
        self._step = -(-_LEAST_ROWS // first.block_rows) * first.block_rows
        self._source: Any = open_source(first.file.path, first.file.shown)
        self._kept = np.empty((len(bands), 0, self._width), self._source.dtypes[first.file.index - 1])
        self._start = 0
        index, path = first.file.index, first.file.path
        self._tiles = tiles.open_tiles(self._source, path, index) if compiled and len(bands) == 1 else None

    def rows(self, top: int, bottom: int) -> NDArray[Any]:
        """Return rows `top` to `bottom` of the bands, (bands, bottom − top, columns), valid until the next call.

        Raises:
            BadScene: they cannot be read.
        """
        end = self._start + self._kept.shape[1]
        if not self._start <= top <= end:
            # Of a resumed prediction: what lies between is not needed.
            self._start = end = top // self._step * self._step
            self._kept = self._kept[:, :0]
        if bottom > end:
            until = min(-(-bottom // self._step) * self._step, self._height)
            kept = self._kept[:, top - self._start :] if top < end else self._kept[:, :0]
            start = min(top, end)
            rows = np.empty((len(self.bands), until - start, self._width), self._kept.dtype)
            rows[:, : kept.shape[1]] = kept
            self._read(end, until, rows[:, kept.shape[1] :])
            self._kept, self._start = rows, start
        return self._kept[:, top - self._start : bottom - self._start]

    def _read(self, top: int, bottom: int, out: NDArray[Any]) -> None:
        if self._tiles is not None and self._tiles.read(top, out[0]):
            return
        window = ((top, bottom), (0, self._width))
        try:
            if len(self._indexes) == 1:
                self._source.read(self._indexes[0], window=window, out=out[0])
            else:
                # In one call, for files may store the bands of a pixel side by side.
                out[...] = self._source.read(self._indexes, window=window)
        except Exception as err:  # GDAL and rasterio raise many classes for damaged files.
            raise self._unreadable(top, bottom, err) from err

    def _unreadable(self, top: int, bottom: int, err: Exception) -> BadScene:
        return BadScene(f"{self._shown}: rows {top} to {bottom} cannot be read: {cause(err)}")

    def close(self) -> None:
        """Close the file."""
        if self._tiles is not None:
            self._tiles.close()
        self._source.close()


class Strips:
    """Strips of all bands of a scene, at native resolution.

    Band files that store a band in smaller pixels than its own are taken where every native pixel is one value: such
    files repeat pixels and lose nothing.
    """

    def __init__(self, bands: list[Band], native: dict[str, int], threads: SceneThreads) -> None:
        """Open the files.

        Args:
            bands: of the scene.
            native: size of a pixel by band, in metres.
            threads: that read the files.
        """
        by_file: dict[tuple[str, int], list[Band]] = {}
        for band in bands:
            by_file.setdefault((band.file.path, band.metres), []).append(band)
        self._native = native
        self._shown = {band.name: band.file.shown for band in bands}
        self._threads = threads
        self._files: list[FileStrips] = []
        compiled = sum(math.prod(band.size) for band in bands) >= tiles.LEAST_PIXELS

        def add(group: list[Band]) -> None:
            with in_thread():
                self._files.append(FileStrips(group, compiled=compiled))

        try:
            threads.read(add, list(by_file.values()))
        except BaseException:
            self.close()
            raise
        # In the order of the bands, so that the first of several errors is always the same.
        self._files.sort(key=lambda file: tuple(self._shown).index(file.bands[0]))

    def rows(self, top: int, bottom: int) -> dict[str, NDArray[Any]]:
        """Return the pixels of all bands between two lines, by band, (rows, columns) at native resolution.

        Args:
            top: metres from the upper edge of the scene, a multiple of 60.
            bottom: likewise.

        Raises:
            BadScene: they cannot be read, or a native pixel has several values.
        """
        found: dict[str, NDArray[Any]] = {}

        def read(file: FileStrips) -> None:
            with in_thread():
                strip = file.rows(top // file.metres, bottom // file.metres)
            for name, pixels in zip(file.bands, strip, strict=True):
                found[name] = self._at_native(name, pixels, self._native[name] // file.metres)

        self._threads.read(read, self._files)
        return found

    def _at_native(self, name: str, pixels: NDArray[Any], factor: int) -> NDArray[Any]:
        if factor == 1:
            return pixels
        rows, columns = (length // factor for length in pixels.shape)
        blocks = pixels[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor)
        native = np.ascontiguousarray(blocks[:, 0, :, 0])
        if not (blocks == native[:, None, :, None]).all():
            raise BadScene(
                f"{self._shown[name]} has several values within pixels of {self._native[name]} m, expected {name} at "
                "its own resolution, or repeated pixels; resampled bands are not used"
            )
        return native

    def close(self) -> None:
        """Close all files."""
        for file in self._files:
            file.close()
