"""A patch of band files, which tests replace or rename."""

from pathlib import Path

import pytest

from shards.layout.bands import BAND_SLICES, GROUP_OF
from tests.support.data.scene import PRODUCT
from tests.support.data.tiffs import official

KEY = f"{PRODUCT}_00_00"


@pytest.fixture
def patch(tmp_path: Path) -> Path:
    """A patch of zeros."""
    folder = tmp_path / KEY
    folder.mkdir()
    for band, values in BAND_SLICES.items():
        content = official(GROUP_OF[band], bytes(2 * (values.stop - values.start))).encode()
        (folder / f"{KEY}_{band}.tif").write_bytes(content)
    return folder
