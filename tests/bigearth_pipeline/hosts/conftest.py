"""A source that builds on several hosts read, and the store that it becomes."""

from pathlib import Path

import pytest

from tests.support.data.building import contents
from tests.support.data.small_tree import build_here, write_small_tree

PER_SHARD = 2


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source of 48 patches."""
    return write_small_tree(tmp_path_factory.mktemp("source") / "tree", 48)


@pytest.fixture(scope="module")
def expected(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a store of 24 shards that this process has built of it."""
    out = tmp_path_factory.mktemp("expected") / "store"
    build_here(out, tree, patches_per_shard=PER_SHARD)
    return contents(out)


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A folder for stores that hosts share."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    return folder
