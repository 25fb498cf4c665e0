"""Pixels and places of a store beside those of the files that it was built from."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

import shards
from shards.layout.bands import BAND_SLICES, GROUP_OF, RECORD_VALUES
from tests.support.data.scene import PRODUCT


@pytest.fixture(params=["tar_store", "zarr_store", "packed_store", "raw_store"])
def store(request: pytest.FixtureRequest) -> Path:
    """Each kind of store."""
    path: Path = request.getfixturevalue(request.param)
    return path


@pytest.mark.long
def test_patches_equal_their_geotiffs(store: Path, scene_tree: Path) -> None:
    """A store holds other pixels, or another place, than the files it was built from."""
    with shards.open(store) as opened:
        for row in range(0, len(opened), 13):
            patch = opened.read(row, verify=True)
            for band, values in BAND_SLICES.items():
                path = scene_tree / "BigEarthNet-S2" / PRODUCT / patch.key / f"{patch.key}_{band}.tif"
                with rasterio.open(path) as source:
                    np.testing.assert_array_equal(patch.band(band), source.read(1))
                    np.testing.assert_array_equal(patch.s2[values], source.read(1).ravel())
                    assert patch.crs == source.crs.to_string()
                    assert patch.transform(GROUP_OF[band].metres) == tuple(source.transform)[:6]
                    assert patch.bounds == tuple(source.bounds)
            assert patch.date.isoformat() == "2017-06-13T10:10:31"


def test_real_patches_take_less_than_with_blosc(tar_store: Path, packed_store: Path) -> None:
    """The prediction is worse than it was: more than 57 % of the pixels' bytes are left."""
    with shards.open(tar_store) as plain, shards.open(packed_store) as packed:
        rows = np.arange(len(packed))
        assert packed.encoded_bytes(rows) <= 0.57 * len(rows) * shards.RECORD_BYTES < plain.encoded_bytes(rows)
        np.testing.assert_array_equal(
            *(store.read_into(rows, np.empty((len(rows), RECORD_VALUES), np.uint16)) for store in (plain, packed))
        )
