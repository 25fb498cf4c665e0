"""A scene as an input: one unit is a row of windows."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bigearth_pipeline.scenes.grid.missing import missing_shares
from bigearth_pipeline.scenes.grid.plausible import check_offset
from bigearth_pipeline.scenes.grid.scene import CELL_METRES, Scene
from bigearth_pipeline.scenes.grid.strips import Strips
from bigearth_pipeline.scenes.grid.windows import SIDE, Windows
from bigearth_pipeline.scenes.inputs.names import SCL, SCL_METRES, native_metres
from bigearth_pipeline.scenes.work.source import Part
from bigearth_pipeline.scenes.work.threads import SceneThreads
from bigearth_pipeline.source.offset import subtract
from shards.layout.bands import BAND_SLICES, BANDS, GROUP_OF, RECORD_VALUES
from shards.layout.record import PATCH_METRES

RGB: Final = ("B04", "B03", "B02")


class SceneSource:
    """The windows of a scene, cut into records.

    Attributes:
        name: of the scene.
        num_units: rows of windows.
        scene: the scene.
        windows: its windows.
        bands: names of the bands that are read; records hold 0 in all others.
    """

    def __init__(self, scene: Scene, windows: Windows, *, batch_size: int, threads: SceneThreads) -> None:
        """Open the files.

        Args:
            scene: to read.
            windows: of the scene.
            batch_size: windows of a part at most.
            threads: that read the files.

        Raises:
            BadScene: a file cannot be opened.
        """
        self.name, self.scene, self.windows = scene.name, scene, windows
        self.num_units = len(windows.tops)
        self.bands = tuple(band.name for band in scene.bands)
        bands = [*scene.bands, *([] if scene.scl is None else [scene.scl])]
        self._strips = Strips(bands, {band.name: native_metres(band.name) for band in bands}, threads)
        # As even as can be, so that no batch is small.
        count = -(-len(windows.lefts) // batch_size)
        self._columns = [part.tolist() for part in np.array_split(np.array(windows.lefts), count)]
        self._picture: NDArray[np.uint16] | None = None

    def identity(self) -> dict[str, Any]:
        """Return what the result depends on."""
        return self.scene.description.identity() | {"stride_metres": self.windows.stride * CELL_METRES}

    def count(self, unit: int) -> int:
        """Return the number of windows of a row."""
        return len(self.windows.lefts)

    def names(self, unit: int) -> list[str]:
        """Return the names of the windows of a row: name of the scene, column and row, as BigEarthNet names patches."""
        return [f"{self.name}_{column}_{unit}" for column in range(len(self.windows.lefts))]

    def parts(self, unit: int) -> Iterator[Part]:
        """Read and cut a row of windows."""
        top = self.windows.tops[unit] * CELL_METRES
        strips = self._strips.rows(top, top + PATCH_METRES)
        self._picture = self._sampled(unit, strips)
        for lefts in self._columns:
            records = self._cut(strips, lefts)
            scl = None
            if SCL in strips:
                scl = np.stack(_windows(strips[SCL], lefts, SCL_METRES))
            missing = missing_shares(records, self.bands, scl)
            self._subtract_offsets(records)
            n = len(lefts)
            yield Part(
                records=records,
                missing=missing,
                epsg=np.full(n, self.scene.epsg, np.int32),
                ulx=self.scene.ulx + CELL_METRES * np.array(lefts, np.float64),
                uly=np.full(n, self.scene.uly - top, np.float64),
            )

    def check_offset(self) -> None:
        """Check the offset, if there is one, by the first row of windows or by that in the middle.

        Raises:
            BadScene: pixels do not have the offset, or cannot be read.
        """
        offsets = self.scene.description.offsets
        for unit in dict.fromkeys((0, self.num_units // 2)) if offsets else ():
            top = self.windows.tops[unit] * CELL_METRES
            strips = self._strips.rows(top, top + PATCH_METRES)
            for lefts in self._columns:
                if check_offset(self.name, self._cut(strips, lefts), self.bands, offsets):
                    return

    def picture(self, unit: int) -> NDArray[np.uint16] | None:
        """Return a pixel of red, green and blue a cell, (3, rows, columns): the rows down to the next windows."""
        return self._picture

    def close(self) -> None:
        """Close all files."""
        self._strips.close()

    def _cut(self, strips: dict[str, NDArray[Any]], lefts: list[int]) -> NDArray[np.uint16]:
        n = len(lefts)
        make = np.empty if len(self.bands) == len(BANDS) else np.zeros
        records = make((n, RECORD_VALUES), np.uint16)
        for band in self.bands:
            size = GROUP_OF[band].size
            for record, pixels in zip(records, _windows(strips[band], lefts, GROUP_OF[band].metres), strict=True):
                record[BAND_SLICES[band]].reshape(size, size)[...] = pixels
        return records

    def _subtract_offsets(self, records: NDArray[np.uint16]) -> None:
        offsets = self.scene.description.offsets
        values = {offsets.get(band, 0) for band in self.bands}
        if len(values) == 1:
            if offset := values.pop():
                subtract(records, offset)
            return
        for band in self.bands:
            if offset := offsets.get(band, 0):
                subtract(records[:, BAND_SLICES[band]], offset)

    def _sampled(self, unit: int, strips: dict[str, NDArray[Any]]) -> NDArray[np.uint16] | None:
        if not set(RGB) <= set(self.bands):
            return None
        tops = (*self.windows.tops, self.windows.tops[-1] + SIDE)
        step, rows = CELL_METRES // GROUP_OF[RGB[0]].metres, tops[unit + 1] - tops[unit]
        picture = np.stack([strips[band][step // 2 :: step, step // 2 :: step][:rows] for band in RGB])
        picture = np.ascontiguousarray(picture[:, :, : self.scene.columns])
        for i, band in enumerate(RGB):
            if offset := self.scene.description.offsets.get(band, 0):
                subtract(picture[i], offset)
        return picture


def _windows(strip: NDArray[Any], lefts: list[int], metres: int) -> list[NDArray[Any]]:
    """Return windows of a strip, each (size, size), as views."""
    size, step = PATCH_METRES // metres, CELL_METRES // metres
    return [strip[:, left * step : left * step + size] for left in lefts]
