"""PNG files of pictures."""

from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bigearth_pipeline.pictures.compose import Composition, Stretch, colours


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Return a picture as PNG: (rows, columns, 3) for colours, (rows, columns) for shades of grey, uint8."""
    content = BytesIO()
    image: Any = Image.fromarray(np.ascontiguousarray(pixels))
    image.save(content, "PNG", optimize=True)
    return content.getvalue()


def patch_png(record: NDArray[np.uint16], composition: Composition, stretch: Stretch | None = None) -> bytes:
    """Return a record, (80000,) uint16, as PNG of 120 × 120 pixels of 10 m.

    Args:
        record: of a patch.
        composition: bands shown as red, green and blue.
        stretch: default: that of fixed reflectances.
    """
    return png(colours(record, composition, stretch or Stretch.fixed()))
