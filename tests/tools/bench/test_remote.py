"""Rates from an address."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import shards
from tests.support.paths import ROOT


@pytest.mark.long
@pytest.mark.parametrize("kind", ["tar_store", "zarr_store"])
def test_a_store_of_several_shards_is_measured(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Plain requests ask for ranges beyond the end of other files, or the bytes are not those of the training rows."""
    folder: Path = request.getfixturevalue(kind)
    out = tmp_path / "remote.json"
    command = [sys.executable, "-m", "tools.bench.loader.remote", str(folder), "--latency", "0.001", "--repeats", "1"]
    done = subprocess.run(
        [*command, "--work", str(tmp_path), "--out", str(out)], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    with shards.open(folder) as store:
        rows = store.index.rows("train")
        assert found["patches"] == len(rows)
        assert found["bytes"] == store.encoded_bytes(rows)
    assert all(found["patches_per_second"].values())
    assert [path.name for path in tmp_path.iterdir()] == ["remote.json"]
