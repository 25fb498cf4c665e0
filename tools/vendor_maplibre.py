"""Fetch MapLibre GL from the npm registry into the page of `bep serve`: python -m tools.vendor_maplibre VERSION."""

import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

PACKAGE: Final = "maplibre-gl"
FOLDER: Final = Path(__file__).parents[1] / "bigearth_pipeline/serve/static/vendor" / PACKAGE
FILES: Final = ("dist/maplibre-gl.mjs", "dist/maplibre-gl-worker.mjs", "dist/maplibre-gl.css", "LICENSE.txt")
"""Files of the package that the page loads, and its licence."""
NOTE: Final = "VENDORED.json"


def vendor(version: str) -> dict[str, object]:
    """Replace the files by those of a version; npm compares the archive with the registry's checksum.

    Returns:
        What `VENDORED.json` says: name, version, licence, and the SHA-256 of each file.
    """
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        subprocess.run(["npm", "pack", f"{PACKAGE}@{version}", "--silent"], cwd=work, check=True)
        with tarfile.open(next(work.glob("*.tgz"))) as archive:
            archive.extractall(work, filter="data")
        package = json.loads((work / "package/package.json").read_text())
        FOLDER.mkdir(parents=True, exist_ok=True)
        sums = {}
        for each in FILES:
            target = FOLDER / Path(each).name
            shutil.copyfile(work / "package" / each, target)
            sums[target.name] = hashlib.sha256(target.read_bytes()).hexdigest()
    note = {"name": PACKAGE, "version": package["version"], "license": package["license"], "sha256": sums}
    (FOLDER / NOTE).write_text(json.dumps(note, indent=1) + "\n")
    return note


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m tools.vendor_maplibre VERSION, such as 6.17.0")
    print(json.dumps(vendor(sys.argv[1])))
