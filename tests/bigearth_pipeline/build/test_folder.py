"""The folder of a build: what is in it already, who else uses it, and its disk."""

import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from bigearth_pipeline.build.config import BuildConfig
from bigearth_pipeline.build.select import Rules
from bigearth_pipeline.cli.stores.origin import origin_of
from bigearth_pipeline.errors import PipelineError
from tests.bigearth_pipeline.build.test_bad_patches import patch_folder
from tests.support.data import faults
from tests.support.data.building import FORMATS, build_store, contents
from tests.support.data.scene import PRODUCT, write_patch


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rules": Rules(seed=1)}, "`seed=` was 0, now 1"),
        ({"codec": "raw"}, "`codec=` was blosc-lz4, now raw"),
        ({"format": "zarr"}, "`format=` was webdataset, now zarr"),
        ({"patches_per_shard": 32}, "`patches_per_shard=` was 64, now 32"),
        ({"rules": Rules(limit=10)}, "`limit=` was none, now 10"),
        ({"rules": Rules(include_snow_cloud=True)}, "`include_snow_cloud=` was False, now True"),
    ],
)
def test_another_build_in_the_same_place_is_refused(
    tar_store: Path, scene_tree: Path, scheduler: str, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    """A store ends up with shards of two different builds."""
    out = faults.copy(tar_store, tmp_path / "s")
    before = contents(out)
    with pytest.raises(PipelineError, match=message):
        build_store(out, scene_tree, scheduler=scheduler, **({"patches_per_shard": 64} | change))
    assert contents(out) == before


@pytest.mark.long
def test_options_may_change_before_anything_is_built(scene_tree: Path, scheduler: str, tmp_path: Path) -> None:
    """A first attempt that built nothing keeps a user from mending its options."""
    with pytest.raises(PipelineError, match="scheduler"):
        build_store(tmp_path / "s", scene_tree, scheduler="tcp://127.0.0.1:9", codec="raw")
    assert build_store(tmp_path / "s", scene_tree, scheduler=scheduler).manifest.codec == "blosc-lz4"


def test_another_source_is_refused(small_tree: Path, scheduler: str, tmp_path: Path) -> None:
    """A source that has changed, or a different one, continues or replaces a build in silence."""
    out = tmp_path / "s"
    build_store(out, small_tree, scheduler=scheduler)
    moved = faults.copy(small_tree, tmp_path / "moved")
    with pytest.raises(PipelineError, match=r"source was .*tree/BigEarthNet-S2.*, now .*moved/BigEarthNet-S2"):
        build_store(out, moved, scheduler=scheduler)
    write_patch(patch_folder(small_tree, 0).parent, f"{PRODUCT}_00_99", np.ones(80_000, np.uint16), 0, 0)
    with pytest.raises(PipelineError, match="number of patch folders in the source was 12, now 13"):
        build_store(out, small_tree, scheduler=scheduler)
    assert build_store(out, small_tree, scheduler=scheduler, overwrite=True).manifest.count == 12


def test_a_finished_build_is_left_alone(small_tree: Path, scheduler: str, tmp_path: Path) -> None:
    """Running the command again builds everything again."""
    build_store(tmp_path / "s", small_tree, scheduler=scheduler)
    before = contents(tmp_path / "s")
    assert build_store(tmp_path / "s", small_tree, scheduler=scheduler).finished_before
    assert contents(tmp_path / "s") == before


def test_only_one_build_at_a_time(small_tree: Path, scheduler: str, tmp_path: Path) -> None:
    """Two builds write into one directory."""
    import fcntl

    (tmp_path / "s" / ".build").mkdir(parents=True)
    with open(tmp_path / "s" / ".build" / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(PipelineError, match="in use by another build"):
            build_store(tmp_path / "s", small_tree, scheduler=scheduler)


def test_a_directory_of_something_else_is_refused(small_tree: Path, scheduler: str, tmp_path: Path) -> None:
    """Shards are strewn among other files, or --overwrite deletes them."""
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "thesis.tex").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(PipelineError, match="is not empty"):
            build_store(tmp_path / "s", small_tree, scheduler=scheduler, overwrite=overwrite)
    assert contents(tmp_path / "s") == {"thesis.tex": b"years of work"}


@pytest.mark.parametrize("name", ["spool", "keep"])
@pytest.mark.parametrize("below", [".", "more/files"])
def test_other_files_are_kept_out_of_the_store(tmp_path: Path, name: str, below: str) -> None:
    """A build that was killed leaves spool files or half an archive in the store, which `overwrite` then refuses."""
    out = tmp_path / "s"
    message = rf"`{name}=.*` lies in the store `out=.*/s`, which holds no other files; name a folder outside of it"
    with pytest.raises(PipelineError, match=message):
        BuildConfig((), out, urls=("http://127.0.0.1:9/a.tar",), **{name: out / below})
    if name == "keep":
        # Before the tables are downloaded to it.
        with pytest.raises(PipelineError, match=message):
            origin_of(("v2",), out, out / below, "http://127.0.0.1:9")
    assert not out.exists()
    BuildConfig((), out, urls=("http://127.0.0.1:9/a.tar",), **{name: tmp_path})


def test_unwritable_directory_is_one_clear_error(small_tree: Path, scheduler: str, tmp_path: Path) -> None:
    """A place that cannot be written to ends in a traceback."""
    (tmp_path / "file").write_text("")
    with pytest.raises(PipelineError, match=r"file.* cannot be written: Not a directory"):
        build_store(tmp_path / "file" / "s", small_tree, scheduler=scheduler)


@FORMATS
def test_a_full_disk_is_one_clear_error_and_resumes(
    small_tree: Path, scheduler: str, tmp_path: Path, store_format: str
) -> None:
    """A full disk leaves half a shard that looks whole, or cannot be resumed from."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=900k", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        with pytest.raises(PipelineError, match=r"no space left on the disk of .*/s.* again to resume"):
            build_store(disk / "s", small_tree, scheduler=scheduler, patches_per_shard=2, format=store_format)
        assert not (disk / "s" / "manifest.json").exists()
        # The other worker of this scheduler may be in the middle of a shard; it ends and cleans up by itself.
        deadline = time.monotonic() + 120
        while list((disk / "s").rglob("*.part")) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not list((disk / "s").rglob("*.part"))
        subprocess.run(["mount", "-o", "remount,size=20m", disk], check=True)
        summary = build_store(disk / "s", small_tree, scheduler=scheduler, patches_per_shard=2, format=store_format)
        assert 0 < summary.built < 12
        build_store(tmp_path / "whole", small_tree, scheduler=scheduler, patches_per_shard=2, format=store_format)
        assert contents(disk / "s") == contents(tmp_path / "whole")
    finally:
        subprocess.run(["umount", disk], check=True)
