"""A store whose records a device can decode."""

from pathlib import Path

import pytest

from shards.testing.stores import make_store


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 7 training patches of codec `bitpack`."""
    return make_store(tmp_path_factory.mktemp("packed") / "store", {"train": 7, "validation": 2}, codec="bitpack")
