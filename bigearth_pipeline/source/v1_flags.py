"""Flags of BigEarthNet v1 patches for seasonal snow and for clouds or shadows, for trees without the authors' lists.

`v1_flags.xz` holds the facts of all 590,326 patches; `tools/pack_v1_flags.py` takes them from the official lists. It is
XZ of a line of JSON and a cube of bytes, (products, size, size): at [product, row, column] 0 where there is no patch,
else 1 + snow + 2·(cloud or shadow).
Source: BigEarthNet (Sumbul et al. 2019), CDLA-Permissive-1.0.
"""

import json
import lzma
from functools import lru_cache
from importlib.resources import files
from typing import Final

PACKED: Final = "v1_flags.xz"
SNOW: Final = 1
CLOUD: Final = 2


def v1_flags(key: str) -> tuple[bool, bool] | None:
    """Return (seasonal snow, cloud or shadow) of a patch of BigEarthNet v1; None for a name that is none of them."""
    numbers, size, cube = _facts()
    product, _, row = key.rpartition("_")
    product, _, column = product.rpartition("_")
    number = numbers.get(product)
    # Each number has one way of writing it here, so that a name with a zero in front is another name.
    if number is None or row not in size or column not in size:
        return None
    value = cube[(number * len(size) + size[row]) * len(size) + size[column]] - 1
    return None if value < 0 else (bool(value & SNOW), bool(value & CLOUD))


@lru_cache(maxsize=1)
def _facts() -> tuple[dict[str, int], dict[str, int], bytes]:
    """Return the number of each product, the numbers below the cube's size by their texts, and the cube."""
    content = lzma.decompress(files("bigearth_pipeline.source").joinpath(PACKED).read_bytes())
    head, _, cube = content.partition(b"\n")
    raw = json.loads(head)
    products = {product: number for number, product in enumerate(raw["products"])}
    return products, {str(number): number for number in range(raw["size"])}, cube
