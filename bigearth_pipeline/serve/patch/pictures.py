"""Pictures of patches as WebP without loss: three bands between percentiles of the store or limits of the user."""

from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bigearth_pipeline.pictures.compose import SIDE, TRUE_COLOUR, Stretch, colours, composition_of
from bigearth_pipeline.serve.contents.contents import Absent, Contents
from bigearth_pipeline.serve.contents.stores import OpenStore
from bigearth_pipeline.serve.patch.cache import Cache
from bigearth_pipeline.serve.patch.neighbours import neighbours

MOST: Final = 512
"""Pictures that are kept, of 30 to 90 KB."""
_SMALL: Final = SIDE // 2
"""Side of a patch in the picture of those around one."""


@dataclass(frozen=True, slots=True)
class Look:
    """Colours of a picture.

    Attributes:
        bands: names of the three bands as red, green and blue, separated by commas.
        low: digital number that becomes black; None for a percentile of each band.
        high: that becomes full brightness; None likewise.
        gamma: exponent of the stretch; None for the usual one.
    """

    bands: str = "B04,B03,B02"
    low: float | None = None
    high: float | None = None
    gamma: float | None = None

    def stretch(self, usual: Stretch) -> Stretch:
        """Return the stretch, where the usual one is given."""
        limits = {
            band: (low if self.low is None else self.low, high if self.high is None else self.high)
            for band, (low, high) in usual.limits.items()
        }
        return replace(usual, limits=limits, gamma=self.gamma or usual.gamma)


class Pictures:
    """Pictures of the patches of a server."""

    def __init__(self, contents: Contents) -> None:
        """Take what the server shows."""
        self._contents = contents
        self._cache: Cache[bytes] = Cache(MOST)
        contents.uploads.listeners.append(self._cache.drop)

    def picture(self, source: str, key: str, look: Look) -> bytes:
        """Return a picture of 120 × 120 pixels of 10 m.

        Raises:
            InvalidValue: these are not three bands.
            Absent: there is no such patch.
            CorruptShard: its record is damaged.
        """
        self._contents.source(source)
        return self._cache.get((source, key, look), lambda: self._make(source, key, look))

    def around(self, source: str, key: str) -> bytes:
        """Return a patch of a store and the eight around it in true colour, 180 × 180 pixels of 20 m; gaps are black.

        Raises:
            Absent: there is no such patch, or it is one of an upload.
            CorruptShard: a record is damaged.
        """
        store = self._contents.source(source)
        if store is None:
            raise Absent("an upload has nothing around it")
        row = self._contents.row(store, key)
        return self._cache.get((source, row), lambda: self._make_around(store, row))

    def _make_around(self, store: OpenStore, row: int) -> bytes:
        picture = np.zeros((3, _SMALL, 3, _SMALL, 3), np.uint8)
        # Nearer ones come first, and of several of a place the first one counts, as on the page.
        shown = {(0, 0): row}
        for each, east, south in neighbours(store, row):
            shown.setdefault((east, south), each)
        for (east, south), each in shown.items():
            pixels = colours(self._contents.pixels(store, each), TRUE_COLOUR, store.stretch)
            wide = pixels[::2].astype(np.uint16) + pixels[1::2]
            picture[1 + south, :, 1 + east] = (wide[:, ::2] + wide[:, 1::2] + 2) >> 2
        return encoded(picture.reshape(3 * _SMALL, 3 * _SMALL, 3))

    def _make(self, source: str, key: str, look: Look) -> bytes:
        store = self._contents.source(source)
        stretch = look.stretch(Stretch.fixed() if store is None else store.stretch)
        return encoded(colours(self._contents.record(source, key), composition_of(look.bands), stretch))


def encoded(pixels: NDArray[np.uint8]) -> bytes:
    """Return a picture, (rows, columns, 3) uint8, as WebP without loss: as small as PNG, in a third of the time."""
    content = BytesIO()
    image: Any = Image.fromarray(np.ascontiguousarray(pixels))
    image.save(content, "WEBP", lossless=True, method=0, quality=0)
    return content.getvalue()
