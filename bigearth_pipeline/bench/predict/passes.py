"""The passes of `bep bench predict`, all over the same rows of windows."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Final

import numpy as np
import psutil
import rasterio
from numpy.typing import NDArray
from rasterio.env import set_gdal_config
from rasterio.windows import Window

from bigearth_pipeline.bench.passes import Lap, Pass
from bigearth_pipeline.scenes.gdal import CACHE_BYTES
from bigearth_pipeline.scenes.grid.scene import CELL_METRES, Scene
from bigearth_pipeline.scenes.grid.source import SceneSource
from bigearth_pipeline.scenes.grid.windows import Windows
from bigearth_pipeline.scenes.work.loop import predict_parts
from bigearth_pipeline.scenes.work.threads import SceneThreads
from shards.layout.bands import BAND_SLICES, GROUP_OF, RECORD_VALUES
from trainer.inference import Ensemble

RESIDENT: Final = "resident"
"""The networks alone, on images that are in memory."""
PREDICT: Final = "predict"
"""Windows read, cut and predicted."""
READ: Final = "read"
"""Windows read and cut."""
LOOP: Final = "loop"
"""Windows read band by band with rasterio, whose files stay open."""
_USUAL_CACHE: Final = 0.05
"""Share of the memory that GDAL takes for blocks by default."""


class PredictPasses:
    """Laps over the first rows of windows of a scene.

    Attributes:
        passes: by name.
        count: windows of a lap.
    """

    def __init__(self, scene: Scene, windows: Windows, model: Ensemble, *, rows: int, threads: int) -> None:
        """Take a scene.

        Args:
            scene: to read.
            windows: of the scene.
            model: predicts.
            rows: of windows in a lap.
            threads: that predict and read at a time.
        """
        self._scene, self._windows, self._model, self._threads = scene, windows, model, threads
        self._rows = range(min(rows, len(windows.tops)))
        self.count = len(self._rows) * len(windows.lefts)
        with self._source() as (source, _):
            self._batch = next(source.parts(0)).records
        self._images = [(member, member.prepare(self._batch)) for member in model.members]
        self.passes: dict[str, Pass] = {
            RESIDENT: self._resident,
            PREDICT: self._predict,
            READ: self._read,
            LOOP: self._loop,
        }

    @contextmanager
    def _source(self) -> Iterator[tuple[SceneSource, SceneThreads]]:
        set_gdal_config("GDAL_CACHEMAX", CACHE_BYTES)
        with SceneThreads(self._threads) as threads:
            source = SceneSource(self._scene, self._windows, batch_size=self._model.batch_size, threads=threads)
            with closing(source):
                yield source, threads

    def _resident(self, lap: Lap) -> int:
        """Call the networks on one batch, in as many threads as predict."""

        def call(_: int) -> None:
            for member, images in self._images:
                member.logits(images).cpu()

        batches = -(-self.count // len(self._batch))
        with ThreadPoolExecutor(self._threads) as pool:
            list(pool.map(call, range(batches)))
        return batches * len(self._batch)

    def _predict(self, lap: Lap) -> int:
        with self._source() as (source, threads):
            done = predict_parts(source, self._rows, self._model, threads=threads, max_missing=1.0)
            return sum(len(result.missing) for _, result in done)

    def _read(self, lap: Lap) -> int:
        with self._source() as (source, _):
            return sum(len(part) for row in self._rows for part in source.parts(row))

    def _loop(self, lap: Lap) -> int:
        set_gdal_config("GDAL_CACHEMAX", int(_USUAL_CACHE * psutil.virtual_memory().total))
        return loop(self._scene, self._windows, self._rows, lambda record: None)


def loop(scene: Scene, windows: Windows, rows: range, take: Callable[[NDArray[np.uint16]], object]) -> int:
    """Read windows one by one, band by band, as a short program with rasterio does; return how many.

    Args:
        scene: whose bands have their native resolution.
        windows: of the scene.
        rows: of windows.
        take: receives each record, (80000,).
    """
    files = {band.name: rasterio.open(os.fspath(band.file.path)) for band in scene.bands}
    index = {band.name: band.file.index for band in scene.bands}
    try:
        for row in rows:
            for left in windows.lefts:
                record = np.zeros(RECORD_VALUES, np.uint16)
                for band, source in files.items():
                    group = GROUP_OF[band]
                    step = CELL_METRES // group.metres
                    window = Window(left * step, windows.tops[row] * step, group.size, group.size)
                    record[BAND_SLICES[band]] = source.read(index[band], window=window).ravel()
                take(record)
    finally:
        for source in files.values():
            source.close()
    return len(rows) * len(windows.lefts)
