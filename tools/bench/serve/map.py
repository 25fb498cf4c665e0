"""Measure the map of `bep serve` with as many patches as BigEarthNet: python -m tools.bench.serve.map STORE.

The index of STORE, a small WebDataset store, is repeated to `--patches` rows, which are laid over Europe as squares of
1,200 m side by side, in tiles of Sentinel-2. Then the server is measured twice: each tile of the map alone, at each
zoom and with filters of the page; and the page itself in Chromium without a graphics card, from the call that
moves the map to the moment when all its tiles are drawn (`idle` of MapLibre GL, and the last pixel). WebGL is drawn
by SwiftShader and the page by the processor, as Chromium does by itself on such a machine.
"""

import argparse
import json
import os
import random
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shards.layout.record import PATCH_METRES
from tools.arguments import count, run
from tools.bench.enlarged import enlarge
from tools.bench.serve.load import serving
from tools.gallery.shots import chromium

PATCHES: Final = 549_488
_SIDE: Final = 91
"""Patches in a row of a tile of Sentinel-2, which has 110 km."""
_ZONES: Final = (32629, 32631, 32632, 32633, 32634, 32635)
"""UTM zones of tiles: those of the countries of BigEarthNet, from Portugal to Finland."""
_ZOOMS: Final = range(3, 15)
_TILES: Final = 40
"""Tiles that are requested at each zoom."""
_FILTERS: Final = ("", "?split=test", "?label=2", "?split=train&month=6&label=5")
_STEPS: Final = 12
"""Moves of the map at each zoom."""


def places(patches: int, seed: int = 0) -> dict[str, pa.Array]:
    """Return columns of the index that lay patches over Europe: `epsg`, `ulx` and `uly`, metres."""
    rng = np.random.default_rng(seed)
    number, within = np.divmod(np.arange(patches), _SIDE * _SIDE)
    tiles = int(number[-1]) + 1
    zone = rng.integers(0, len(_ZONES), tiles)
    east = 300_000.0 + 100_000 * rng.integers(0, 4, tiles)
    north = 4_200_000.0 + 100_000 * rng.integers(0, 31, tiles)
    row, column = np.divmod(within, _SIDE)
    order = rng.permutation(patches)
    values: dict[str, NDArray[Any]] = {
        "epsg": np.array(_ZONES, np.int32)[zone][number][order],
        "ulx": (east[number] + PATCH_METRES * column)[order],
        "uly": (north[number] - PATCH_METRES * row)[order],
    }
    return {name: pa.array(each) for name, each in values.items()}


def of_tiles(address: str, about: dict[str, Any]) -> list[dict[str, Any]]:
    """Return milliseconds of answers, and their bytes, by zoom and filter, before any cache has them."""
    store = about["stores"][0]
    west, south, east, north = store["bounds"]
    rng = random.Random(0)
    found = []
    for query in _FILTERS:
        for zoom in _ZOOMS:
            times, sizes = [], []
            for _ in range(_TILES):
                x, y = _tile(zoom, rng.uniform(west, east), rng.uniform(south, north))
                begin = time.perf_counter()
                with urllib.request.urlopen(f"{address}api/stores/0/tiles/{zoom}/{x}/{y}.mvt{query}") as answer:
                    sizes.append(len(answer.read()))
                times.append(1000 * (time.perf_counter() - begin))
            found.append({
                "query": query, "zoom": zoom, "median_ms": round(median(times), 1), "longest_ms": round(max(times), 1),
                "longest_bytes": max(sizes),
            })  # fmt: skip
    return found


def _tile(zoom: int, longitude: float, latitude: float) -> tuple[int, int]:
    angle = np.radians(latitude)
    x = (longitude / 360 + 0.5) * 2**zoom
    y = (0.5 - np.log(np.tan(np.pi / 4 + angle / 2)) / (2 * np.pi)) * 2**zoom
    return int(x), int(y)


_MOVE: Final = """([zoom, dx, dy]) => new Promise((resolve) => {
    const map = document.getElementById('map').map;
    const begin = performance.now();
    let frames = 0;
    const count = () => { frames += 1; };
    map.on('render', count);
    map.once('idle', () => {
        map.off('render', count);
        // Waits until everything is drawn: commands run beside the page.
        const gl = map.getCanvas().getContext('webgl2');
        gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
        resolve([performance.now() - begin, frames]);
    });
    const at = map.project(map.getCenter());
    map.jumpTo({center: map.unproject([at.x + dx, at.y + dy]), zoom});
})"""


def of_page(address: str) -> list[dict[str, Any]]:
    """Return milliseconds from pans and zooms of the map to its last drawn tile, by zoom."""
    found = []
    with chromium("--enable-unsafe-swiftshader") as browser:
        page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        page.goto(address)
        page.wait_for_selector("#map[data-idle]", timeout=60_000)
        for zoom in range(4, 13):
            page.evaluate(_MOVE, [zoom, 0, 1])
            pans = [page.evaluate(_MOVE, [zoom, 300, 40 * (-1) ** i])[0] for i in range(_STEPS // 2)]
            pans += [page.evaluate(_MOVE, [zoom, -300, 40 * (-1) ** i])[0] for i in range(_STEPS // 2)]
            zooms = [page.evaluate(_MOVE, [zoom + 1 - i % 2, 0, 0])[0] for i in range(_STEPS)]
            found.append({
                "zoom": zoom, "pan_median_ms": round(median(pans)), "pan_longest_ms": round(max(pans)),
                "zoom_median_ms": round(median(zooms)), "zoom_longest_ms": round(max(zooms)),
            })  # fmt: skip
    return found


def main() -> None:
    """Print a line as JSON for each measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--patches", type=count, default=PATCHES)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.store.parent, prefix="bep-map-") as folder:
        columns = places(2 * options.patches)
        enlarge(options.store, options.patches, Path(folder), columns)
        begin = time.perf_counter()
        with serving(["--shards", folder]) as (_, address):
            with urllib.request.urlopen(f"{address}api/about") as answer:
                about = json.load(answer)
            patches = about["stores"][0]["patches"]
            print(f"{patches:,} patches, ready after {time.perf_counter() - begin:.1f} s", file=sys.stderr)
            for measured in (of_tiles(address, about), of_page(address)):
                for line in measured:
                    print(json.dumps(line | {"load": round(os.getloadavg()[0], 1)}), flush=True)


if __name__ == "__main__":
    run(main)
