"""Stores that the first version wrote, read by this one."""

import hashlib
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

import shards
from bigearth_pipeline.verify.store import verify_store
from shards.metadata.manifest import Manifest
from tests.support.paths import GOLDEN

ARCHIVES = sorted(path for path in GOLDEN.glob("*/*.tar.xz") if path.name != "run.tar.xz")


@pytest.mark.long
@pytest.mark.skipif(not ARCHIVES, reason="stores of earlier versions are absent")
@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda path: f"{path.parent.name}-{path.name.partition('.')[0]}")
def test_stores_of_earlier_versions_read_as_they_did(archive: Path, tmp_path: Path) -> None:
    """A store of an earlier version does not open, is called damaged, or gives other pixels or labels."""
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    expected = json.loads((archive.parent / "expected.json").read_bytes())[folder.name]
    found = {}
    with shards.open(folder, num_threads=2) as store:
        records = store.read_into(range(len(store)), np.empty((len(store), shards.RECORD_VALUES), np.uint16))
        for row in range(len(store)):
            patch = store.read(row, verify=True)
            assert np.array_equal(patch.s2, records[row])
            digest = hashlib.sha256(patch.s2.tobytes()).hexdigest()[:16]
            found[patch.key] = [digest, list(patch.labels), patch.split, patch.epsg, patch.ulx, patch.uly]
        manifest = store.manifest
    assert found == expected
    if archive.name.startswith(("webdataset-bitpack", "zarr-blosc-zstd")):  # One of each format, to save time.
        assert verify_store(folder).problems == []
    # A manifest without a checksum says the same once it has one.
    assert "sha256" not in json.loads((folder / "manifest.json").read_bytes())
    manifest.write(folder)
    assert Manifest.read(folder) == manifest
