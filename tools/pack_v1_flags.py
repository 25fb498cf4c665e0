"""Pack the official lists of BigEarthNet v1 into `bigearth_pipeline/source/v1_flags.xz`, which `v1_flags.py` describes.

    python -m tools.pack_v1_flags FOLDER [--out FILE]

FOLDER holds the lists of bigearthnet_common (CDLA-Permissive-1.0), plain, .bz2 or .gz: train, val, test,
patches_with_seasonal_snow, patches_with_cloud_and_shadow and patches_with_no_19_class_targets. The same lists give the
same bytes.
"""

import argparse
import json
import lzma
import re
from pathlib import Path
from typing import Final

import numpy as np

from bigearth_pipeline.source.v1_flags import CLOUD, PACKED, SNOW
from shards.storage.atomic import atomic_write
from shards.text.name_list import read_names
from tools.arguments import run

LISTS: Final = {
    "train": 0,
    "val": 0,
    "test": 0,
    "patches_with_no_19_class_targets": 0,
    "patches_with_seasonal_snow": SNOW,
    "patches_with_cloud_and_shadow": CLOUD,
}
_NAME: Final = re.compile(r"(S2[A-Z]_MSIL2A_\d{8}T\d{5,6})_(0|[1-9]\d*)_(0|[1-9]\d*)")


def pack(folder: Path) -> bytes:
    """Return the packed facts of the lists in a folder."""
    flags: dict[str, int] = {}
    for stem, flag in LISTS.items():
        [path] = sorted(folder.glob(f"{stem}.csv*"))
        for name in read_names(path):
            flags[name] = flags.get(name, 0) | flag
    places = {}
    for name, value in flags.items():
        match = _NAME.fullmatch(name)
        if match is None:
            raise SystemExit(f"{name} is no name of BigEarthNet v1")
        places[match[1], int(match[2]), int(match[3])] = value
    products = sorted({product for product, _, _ in places})
    size = 1 + max(max(column, row) for _, column, row in places)
    cube = np.zeros((len(products), size, size), np.uint8)
    number = {product: i for i, product in enumerate(products)}
    for (product, column, row), value in places.items():
        cube[number[product], row, column] = 1 + value
    head = json.dumps({"products": products, "size": size}).encode()
    # One byte a patch, and none depends on its place in a word: with LZMA's defaults the file is larger by a fiftieth.
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 0, "lp": 0, "pb": 0}]
    return lzma.compress(head + b"\n" + cube.tobytes(), check=lzma.CHECK_CRC64, filters=filters)


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description="Pack the official lists of BigEarthNet v1.")
    parser.add_argument("folder", type=Path)
    default = Path(__file__).resolve().parents[1] / "bigearth_pipeline" / "source" / PACKED
    parser.add_argument("--out", type=Path, default=default)
    arguments = parser.parse_args()
    content = pack(arguments.folder)
    with atomic_write(arguments.out) as file:
        file.write(content)
    print(f"{arguments.out}: {len(content):,} bytes")


if __name__ == "__main__":
    run(main)
