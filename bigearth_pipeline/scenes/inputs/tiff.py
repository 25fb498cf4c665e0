"""GeoTIFFs: the check that one is whole, by the places of its strips or tiles (TIFF 6.0, sections 8 and 15)."""

import os
from typing import Any

from bigearth_pipeline.errors import BadScene


def check_tiff(source: Any, index: int, shown: str) -> None:
    """Check that the file of a band is not cut off: every strip or tile ends within it. Pixels are not read.

    Args:
        source: dataset of rasterio, opened by the driver GTiff from a file of this machine.
        index: of the band, from 1.
        shown: name of the file for messages.

    Raises:
        BadScene: it is.
    """
    size = os.stat(source.name).st_size
    rows, columns = source.block_shapes[index - 1]
    end = 0
    for row in range(-(-source.height // rows)):
        for column in range(-(-source.width // columns)):
            place = [_number(source, f"BLOCK_{fact}_{column}_{row}", index) for fact in ("OFFSET", "SIZE")]
            end = max(end, sum(place))
    if end > size:
        raise BadScene(f"{shown} was cut off: it has {size:,} bytes, expected at least {end:,}")


def _number(source: Any, name: str, index: int) -> int:
    """Return a fact of a block; 0 for one of a sparse file, which holds nothing of it."""
    return int(source.get_tag_item(name, "TIFF", bidx=index) or 0)
