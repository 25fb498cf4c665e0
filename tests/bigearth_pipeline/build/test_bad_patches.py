"""Bad and unmatched patches: they are set apart, counted, and mended."""

import json
from pathlib import Path

import pytest

import shards
from bigearth_pipeline.build.run import QUARANTINE, UNMATCHED
from bigearth_pipeline.build.select import BAD, SNOW
from bigearth_pipeline.errors import PipelineError
from bigearth_pipeline.verify.store import verify_store
from tests.support.data import faults
from tests.support.data.building import FORMATS, build_store, contents
from tests.support.data.scene import PRODUCT, write_table


def patch_folder(tree: Path, number: int) -> Path:
    return tree / "BigEarthNet-S2" / PRODUCT / f"{PRODUCT}_00_{number:02d}"


@pytest.mark.long
@FORMATS
def test_bad_patches_are_quarantined_and_mended(
    small_tree: Path, scheduler: str, tmp_path: Path, store_format: str
) -> None:
    """A bad patch is stored, or lost in silence, or keeps the good ones from being stored."""
    from bigearth_pipeline.build.select import NO_ROW

    options = {"scheduler": scheduler, "patches_per_shard": 3, "format": store_format}
    missing = patch_folder(small_tree, 4) / f"{PRODUCT}_00_04_B11.tif"
    kept = missing.read_bytes()
    missing.unlink()
    corrupt = patch_folder(small_tree, 8) / f"{PRODUCT}_00_08_B02.tif"
    sound = corrupt.read_bytes()
    faults.truncate(corrupt, 5000)
    (small_tree / "BigEarthNet-S2" / PRODUCT / "bad.name").mkdir()
    out = tmp_path / "s"
    with pytest.raises(PipelineError, match=r"3 bad patches, and none is allowed.*`allow_bad=3`"):
        build_store(out, small_tree, **options)
    with pytest.raises(shards.UnfinishedStore, match="has not finished"):
        shards.open(out)
    lines = [json.loads(line) for line in (out / QUARANTINE).read_text().splitlines()]
    assert [line["key"] for line in lines] == [f"{PRODUCT}_00_04", f"{PRODUCT}_00_08", "bad.name"]
    assert "B11.tif is missing" in lines[0]["reason"]
    assert "B02.tif ends after 5000 bytes, expected 29" in lines[1]["reason"]
    assert "unsafe patch name" in lines[2]["reason"]
    with pytest.raises(PipelineError, match="more than `allow_bad=2`"):
        build_store(out, small_tree, allow_bad=2, **options)

    allowed = build_store(out, small_tree, allow_bad=3, **options)
    assert allowed.manifest.left_out == {BAD: 3}
    assert (allowed.manifest.count, allowed.bad) == (10, 3)
    assert verify_store(out, against=[small_tree]).problems == []
    # The same patches in one go: the way there leaves no trace.
    direct = build_store(tmp_path / "direct", small_tree, allow_bad=3, **options)
    assert direct.manifest == allowed.manifest
    assert contents(tmp_path / "direct") == contents(out)
    # All shards but a split's last are full, so a Zarr array has no hole.
    for split in allowed.manifest.splits:
        counts = [shard.count for shard in allowed.manifest.shards if shard.split == split]
        assert all(count == 3 for count in counts[:-1])

    missing.write_bytes(kept)
    corrupt.write_bytes(sound)
    mended = build_store(tmp_path / "mended", small_tree, allow_bad=1, **options)
    assert (mended.manifest.count, mended.bad) == (12, 1)
    assert NO_ROW not in mended.manifest.left_out


def test_mended_patches_complete_an_unfinished_build(small_tree: Path, scheduler: str, tmp_path: Path) -> None:
    """After a repair everything is built again, or the repaired patch is not."""
    broken = patch_folder(small_tree, 5) / f"{PRODUCT}_00_05_B09.tif"
    sound = broken.read_bytes()
    broken.write_bytes(b"")
    with pytest.raises(PipelineError, match="1 bad patch, "):
        build_store(tmp_path / "s", small_tree, scheduler=scheduler, patches_per_shard=2)
    broken.write_bytes(sound)
    summary = build_store(tmp_path / "s", small_tree, scheduler=scheduler, patches_per_shard=2)
    assert (summary.manifest.count, summary.built) == (12, 2)
    assert not (tmp_path / "s" / QUARANTINE).exists()
    build_store(tmp_path / "whole", small_tree, scheduler=scheduler, patches_per_shard=2)
    assert contents(tmp_path / "s") == contents(tmp_path / "whole")


def test_duplicate_keys_are_bad(small_tree: Path, scheduler: str, tmp_path: Path) -> None:
    """A patch that occurs in two sources is stored twice."""
    other = faults.copy(small_tree, tmp_path / "other")
    with pytest.raises(PipelineError, match=r"12 bad patches.*duplicate of"):
        build_store(tmp_path / "s", small_tree, other, scheduler=scheduler)


def test_require_all(small_tree: Path, scheduler: str, tmp_path: Path) -> None:
    """A table that does not match the files passes although that was not to be."""
    write_table(small_tree / "metadata.parquet", [f"{PRODUCT}_00_{i:02d}" for i in range(1, 14)])
    summary = build_store(tmp_path / "s", small_tree, scheduler=scheduler)
    assert (summary.manifest.count, sum(summary.unmatched.values())) == (11, 3)
    with pytest.raises(PipelineError, match=r"2 × table row without a folder, 1 × folder without a table row"):
        build_store(tmp_path / "t", small_tree, scheduler=scheduler, require_all=True)
    assert len((tmp_path / "t" / UNMATCHED).read_text().splitlines()) == 4
    assert not (tmp_path / "t" / "manifest.json").exists()


def test_nothing_left_to_store_is_an_error(small_tree: Path, scheduler: str, tmp_path: Path) -> None:
    """An empty store is called finished."""
    keys = [f"{PRODUCT}_00_{i:02d}" for i in range(12)]
    write_table(small_tree / "metadata.parquet", keys, contains_seasonal_snow=[True] * 12)
    with pytest.raises(PipelineError, match=f"no patch is left to store: 12 {SNOW}"):
        build_store(tmp_path / "s", small_tree, scheduler=scheduler)
