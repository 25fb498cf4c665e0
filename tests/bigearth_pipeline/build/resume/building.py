"""Builds of a small source, whole or a shard at a time."""

import os
from pathlib import Path

import pytest

from bigearth_pipeline.build.config import BuildConfig, read_build_note
from bigearth_pipeline.build.plan import PatchEntry, ShardPlan
from bigearth_pipeline.build.run import build
from bigearth_pipeline.build.select import Rules
from bigearth_pipeline.build.task import write_shard
from bigearth_pipeline.errors import PipelineError
from shards.write.options import StoreOptions
from tests.support.data.building import Recorder
from tests.support.data.scene import PRODUCT


def band_file(tree: Path, number: int, band: str = "B02") -> Path:
    key = f"{PRODUCT}_00_{number:02d}"
    return tree / "BigEarthNet-S2" / PRODUCT / key / f"{key}_{band}.tif"


class Build:
    """A build with the same options each time, and what it says."""

    def __init__(self, tree: Path, scheduler: str, store_format: str = "webdataset", **options: object) -> None:
        self.tree, self.scheduler, self.lines = tree, scheduler, list[str]()
        self.options = {"patches_per_shard": 2, "format": store_format} | options

    def __call__(self, out: Path, **options: object) -> int:
        """Build; return how many patches were written."""
        progress = Recorder()
        self.lines = progress.lines
        config = BuildConfig(sources=(self.tree,), out=out, rules=Rules(), **(self.options | options))
        return build(config, workers=2, scheduler=self.scheduler, progress=progress).built

    def interrupted(self, out: Path) -> None:
        """Build all shards but for one of which a patch is bad, and mend that."""
        broken = band_file(self.tree, 5, "B09")
        status, sound = broken.stat(), broken.read_bytes()
        broken.write_bytes(b"")
        with pytest.raises(PipelineError, match="1 bad patch"):
            self(out)
        broken.write_bytes(sound)
        os.utime(broken, ns=(status.st_atime_ns, status.st_mtime_ns))


def write_one(tree: Path, out: Path, store_format: str) -> tuple[ShardPlan, StoreOptions]:
    """Write a shard of four patches."""
    keys = [f"{PRODUCT}_00_{i:02d}" for i in range(4)]
    entries = [
        PatchEntry(key, str(band_file(tree, i).parent), "train", 3, None, "2017-06-13T10:10:31", False, False)
        for i, key in enumerate(keys)
    ]
    options = StoreOptions(out, store_format, "blosc-lz4", 4)  # type: ignore[arg-type]
    options.work.mkdir(parents=True)
    plan = ShardPlan("train", 0, tuple(entries))
    assert write_shard(plan, options, lambda count: None).info is not None
    return plan, options


def note_of(out: Path) -> dict[str, object]:
    note = read_build_note(out)
    assert note is not None
    return note
