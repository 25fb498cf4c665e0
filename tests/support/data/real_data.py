"""The archives of real labelled patches, unpacked."""

import csv
import tarfile
from pathlib import Path

from tests.conftest import real


def unpack(name: str, folder: Path) -> Path:
    """Unpack `real/NAME/NAME.tar.xz` into a folder and return where its content lies; skip where it is absent."""
    with tarfile.open(real(f"real/{name}/{name}.tar.xz")) as archive:
        archive.extractall(folder, filter="data")
    return folder / name


def exact_patches(tree: Path) -> set[str]:
    """Return the names of those v2 patches whose pixels are those that were published, bit for bit."""
    with open(tree / "provenance.csv", encoding="utf-8", newline="") as lines:
        return {row["patch_id"] for row in csv.DictReader(lines) if row["kind"] == "native"}
