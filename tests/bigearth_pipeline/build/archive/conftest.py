"""A small tree, the stores of it, and its files."""

import shutil
from pathlib import Path

import pytest

from tests.support.data.archives import files_below
from tests.support.data.small_tree import build_here, write_small_tree


@pytest.fixture(scope="package")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight patches with a table."""
    return write_small_tree(tmp_path_factory.mktemp("archive") / "tree", 8)


@pytest.fixture(scope="package")
def files(tree: Path) -> dict[str, bytes]:
    """The band files of the tree by their paths."""
    return files_below(tree)


@pytest.fixture(scope="package")
def store(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store that is built from the tree."""
    out = tmp_path_factory.mktemp("store") / "store"
    build_here(out, tree)
    return out


@pytest.fixture
def beside(tree: Path, tmp_path: Path) -> Path:
    """A folder for an archive, with the table of the tree."""
    shutil.copy(tree / "metadata.parquet", tmp_path)
    return tmp_path
