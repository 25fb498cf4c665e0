"""A source of a few patches whose pixels have few values, so that a build of it takes a tenth of a second."""

from pathlib import Path

import numpy as np

from bigearth_pipeline.build.config import BuildConfig
from bigearth_pipeline.build.run import BuildSummary, build
from bigearth_pipeline.build.select import Rules
from bigearth_pipeline.workers import InProcess
from tests.support.data.building import Recorder
from tests.support.data.scene import PRODUCT, write_patch, write_table


def write_small_tree(folder: Path, patches: int) -> Path:
    """Write a v2 tree with its table; half of the patches are of the train split. Return the folder."""
    keys = [f"{PRODUCT}_00_{i:02d}" for i in range(patches)]
    rng = np.random.default_rng(3)
    for i, key in enumerate(keys):
        record = rng.integers(1, 9, 80_000).astype(np.uint16)
        write_patch(folder / "BigEarthNet-S2" / PRODUCT, key, record, 1200.0 * i, 0.0)
    write_table(folder / "metadata.parquet", keys)
    return folder


def build_here(out: Path, tree: Path, *, seed: int = 0, **options: object) -> BuildSummary:
    """Build a store in this process, with two patches a shard unless options say otherwise."""
    config = BuildConfig(sources=(tree,), out=out, rules=Rules(seed=seed), **{"patches_per_shard": 2} | options)
    return build(config, progress=Recorder(), pool=InProcess())
