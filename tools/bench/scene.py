"""Prediction of a whole scene: the rate beside the network alone, and the memory at several overlaps.

    python -m tools.bench.scene STORE RUN --work /var/tmp/bench --out scene.json

The scene has the 10,980² pixels of a Sentinel-2 granule: patches of the test split of STORE side by side, as twelve
Cloud Optimized GeoTIFFs (0.5 GB). `bep bench predict` gives the rates; each prediction of the whole scene is watched
while it runs, and its memory is what the process has for itself, of which pages of files are no part.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tools.arguments import count, run
from tools.bench.watched import watch
from tools.scene import write_scene

_BEP: Final = [sys.executable, "-m", "bigearth_pipeline"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="existing folder for the scene and the results")
    parser.add_argument("--out", type=Path, help="JSON file of the figures; default: stdout only")
    parser.add_argument(
        "--side", type=count, default=10_980, help="pixels of 10 m, a multiple of 6; default: %(default)s"
    )
    parser.add_argument("--rows", type=count, default=24, help="rows of windows of a timed lap; default: %(default)s")
    parser.add_argument("--repeats", type=count, default=5, help="rounds of timed laps; default: %(default)s")
    parser.add_argument("--overlaps", nargs="*", default=["0", "0.5", "0.75"], help="default: %(default)s")
    parser.add_argument(
        "--compress", choices=("LZW", "DEFLATE", "ZSTD"), default="LZW",
        help="of the COGs; DEFLATE and ZSTD come with a predictor; default: %(default)s",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    if options.side % 6:
        parser.error(f"argument --side: {options.side}, expected a multiple of 6")
    with tempfile.TemporaryDirectory(dir=options.work, prefix="bep-scene-") as name:
        folder = Path(name)
        creation = {"compress": options.compress} | ({} if options.compress == "LZW" else {"predictor": "YES"})
        scene = write_scene(options.store, folder / "scene", options.side, options.side, **creation)
        result: dict[str, Any] = {"load": os.getloadavg()[0], "side": options.side}
        size = ["--rows", options.rows, "--repeats", options.repeats]
        result["rates"] = json.loads(_watch("bench", "predict", options.run, scene, *size, "--json").output)
        result["whole"] = {}
        for overlap in options.overlaps:
            out = folder / f"map-{overlap}"
            place = [options.run, scene, "--out", out, "--overlap", overlap, "--baseline", "02.14", "--no-picture"]
            watched = _watch("predict", *place, "--json")
            result["whole"][overlap] = {"outcome": json.loads(watched.output), **watched.figures()}
    text = json.dumps(result, indent=2)
    print(text)
    if options.out is not None:
        options.out.write_text(text + "\n")
    return 0


def _watch(*arguments: object) -> Any:
    print("$ bep", *arguments, file=sys.stderr, flush=True)
    return watch([*_BEP, *map(str, arguments)])


if __name__ == "__main__":
    run(main)
