"""A predicted scene that is open for the server: its map of probabilities, cut into tiles by rio-tiler."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageColor

from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.pictures.class_colours import COLOURS
from bigearth_pipeline.scenes.gdal import gdal_environment, in_thread, opened
from bigearth_pipeline.scenes.results import MAP
from bigearth_pipeline.scenes.write.blend import NODATA, SCALE
from shards import CLASSES

_TILE = 256


@dataclass(frozen=True, eq=False)
class OpenScene:
    """A predicted scene.

    Attributes:
        number: in the addresses of the server.
        path: of its map.
        bounds: west, south, east and north in degrees.
    """

    number: int
    path: Path
    bounds: tuple[float, float, float, float]
    _reader: Any = field(repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    @contextmanager
    def of(cls, number: int, place: Path) -> Iterator["OpenScene"]:
        """Open the map of a prediction while the block runs.

        Args:
            number: of the scene.
            place: folder of a prediction, or its map.

        Raises:
            PipelineError: it holds no map of the 19 classes.
        """
        from rasterio.warp import transform_bounds
        from rio_tiler.io import Reader

        path = place / MAP if place.is_dir() else place
        if not path.is_file():
            raise PipelineError(f"{place} holds no {MAP}, expected the results of a scene from bep predict")
        with ExitStack() as stack:
            stack.enter_context(gdal_environment())
            dataset = stack.enter_context(opened(str(path.absolute()), str(path)))
            if dataset.descriptions != CLASSES or set(dataset.dtypes) != {"uint8"} or dataset.crs is None:
                raise PipelineError(f"{path} is no map of the {len(CLASSES)} classes, expected one from bep predict")
            bounds = transform_bounds(dataset.crs, "EPSG:4326", *dataset.bounds)
            yield cls(number, path, bounds, Reader(None, dataset=dataset))

    def about(self) -> dict[str, Any]:
        """Return facts for the page, as JSON values."""
        return {"number": self.number, "path": str(self.path), "bounds": self.bounds}

    def tile(self, zoom: int, x: int, y: int, label: int | None, threshold: float) -> bytes | None:
        """Return a tile of 256 × 256 pixels as PNG; None outside of the scene.

        Args:
            zoom: of the tile.
            x: its column.
            y: its row.
            label: number of the class whose probability is shown; None for the colour of the most probable class.
            threshold: probability below which a pixel is transparent, 0 to 1.
        """
        from rasterio.transform import from_bounds
        from rio_tiler.errors import TileOutsideBounds

        indexes = tuple(range(1, len(CLASSES) + 1)) if label is None else (label + 1,)
        # By itself rio-tiler would warp all that a tile covers at the resolution of the map, and then leave out pixels.
        grid = from_bounds(*self._reader.tms.xy_bounds(x, y, zoom), _TILE, _TILE)
        options = {"transform": grid, "width": _TILE, "height": _TILE}
        try:
            # A dataset of GDAL belongs to one thread at a time.
            with self._lock, in_thread():
                found = self._reader.tile(x, y, zoom, tilesize=_TILE, indexes=indexes, vrt_options=options)
        except TileOutsideBounds:
            return None
        steps = np.ma.getdata(found.array)
        is_there = (steps[0] != NODATA) & (found.mask > 0)
        highest = np.where(is_there, steps.max(0), 0)
        shown = is_there & (highest >= np.float64(threshold) * SCALE)
        if label is None:
            palette = np.array([ImageColor.getrgb(COLOURS[name]) for name in CLASSES], np.uint8)
            pixels = np.dstack([palette[steps.argmax(0)], np.where(shown, 255, 0).astype(np.uint8)])
        else:
            colour = np.array(ImageColor.getrgb(COLOURS[CLASSES[label]]), np.uint8)
            alpha = np.where(shown, 55 + 200 * (highest / SCALE), 0).astype(np.uint8)
            pixels = np.dstack([np.broadcast_to(colour, (*highest.shape, 3)), alpha])
        content = BytesIO()
        image: Any = Image.fromarray(np.ascontiguousarray(pixels))
        image.save(content, "PNG")
        return content.getvalue()
