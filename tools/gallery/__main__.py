"""Make the pictures of the README: `python -m tools.gallery tools/gallery/pictures`.

Needs Chromium and the extra `test`; takes some minutes on two cores.
"""

import argparse
import tempfile
from pathlib import Path

from tools.arguments import run
from tools.gallery.data import make
from tools.gallery.shots import photograph


def main() -> None:
    """Run the commands in a temporary folder, and photograph what they wrote."""
    parser = argparse.ArgumentParser(prog="python -m tools.gallery", description=__doc__)
    parser.add_argument("out", metavar="OUT", type=Path, help="Folder for the pictures.")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        written = photograph(make(Path(folder) / "gallery"), out, Path(folder))
    for path in written:
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    run(main)
