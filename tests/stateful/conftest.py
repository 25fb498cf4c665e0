"""Small sources and their stores, in memory where the machine allows it: there fsync costs nothing."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.data.building import contents
from tests.support.data.small_tree import build_here, write_small_tree

_SHM = Path("/dev/shm")


@pytest.fixture(scope="session")
def work() -> Iterator[Path]:
    """A folder for the session."""
    where = _SHM if os.access(_SHM, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="bep-stateful-", dir=where)).resolve()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def folder(work: Path) -> Iterator[Path]:
    """A new folder for a test."""
    path = Path(tempfile.mkdtemp(dir=work))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def tree(work: Path) -> Path:
    """Four patches: two of train, one of each other split."""
    return write_small_tree(work / "tree", 4)


@pytest.fixture(scope="session")
def expected(work: Path, tree: Path) -> dict[str, dict[str, bytes]]:
    """Files that an undisturbed build leaves, by format."""
    found = {}
    for store_format in ("webdataset", "zarr"):
        build_here(work / store_format, tree, format=store_format)
        found[store_format] = contents(work / store_format)
    return found
