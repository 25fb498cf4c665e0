"""A store of few patches, which tests copy and damage."""

from pathlib import Path

import pytest

from shards.testing.stores import make_store


@pytest.fixture(scope="session")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of three patches in two shards."""
    return make_store(tmp_path_factory.mktemp("three") / "store", {"train": 2, "validation": 1})
