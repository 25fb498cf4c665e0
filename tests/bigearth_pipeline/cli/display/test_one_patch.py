"""One thing is not several: what commands say of a store of a single patch."""

import re
from pathlib import Path

import pytest

from tests.bigearth_pipeline.cli.calls import invoke

SEVERAL = re.compile(r"(?<![\d,.])1 (?:\w+ )?(?:patches|folders|shards|files|rows|classes|problems|batches)\b")


@pytest.mark.long
def test_one_patch_is_no_patches(tmp_path: Path) -> None:
    """`1 patches`, `1 patch folders` and `1 webdataset shards` look like a slip in the count."""
    data, store = tmp_path / "data", tmp_path / "store"
    said = []
    for arguments in (
        ("synth", "--patches", 1, "--out", data),
        ("build-shards", data, "--out", store),
        ("inspect", store),
        ("verify", store, "--against", data),
        ("describe", store, "--out", tmp_path / "about"),
        ("bench", "loader", store, "--repeats", 1, "--least-seconds", 0, "--device", "cpu"),
    ):
        told = invoke(*arguments)
        assert told.exit_code == 0, told.output
        said.append(told.output)
    said.append((tmp_path / "about" / "collection.json").read_text())
    assert "planning 1 patch\n" in said[0]
    assert SEVERAL.search("found 1 patch folders") is not None
    assert [found[0] for text in said for found in SEVERAL.finditer(text)] == []
